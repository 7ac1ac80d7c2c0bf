"""The formats of others: what they hold, that they are read back as they were, the same bytes from any run."""

import base64
import hashlib
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import Manifest
from tuwen.manifests.verify import verify_manifest
from tuwen.pipeline.commands import ExportFormat
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.executor.part import InputFile, Part
from tuwen.pipeline.export import chinese_clip, huggingface
from tuwen.pipeline.export.exported_picture import ExportConfig
from tuwen.pipeline.export.formats import FORMATS
from tuwen.pipeline.load_recipe import load_recipe, recorded_recipe
from tuwen.pipeline.open_source import roots_of
from tuwen.pipeline.report.corpus_numbers import CorpusNumbers
from tuwen.pipeline.report.corpus_parts import corpus_parts
from tuwen.pipeline.report.thumbnails import SmallPictures
from tuwen.pipeline.why import explain_pair
from tuwen.tokenize.crops.cropped import cropped

from ..conftest import files_of, write_recipe
from ..stages import build_corpus, export, write_report
from .hostile import BROKEN_METADATA, picture, saved

# format → how its export is read again: the kind of source, and its path below the export
READ_AGAIN = {
    "webdataset": ("webdataset", ""),
    "chinese-clip": ("chinese-clip", ""),
    "huggingface": ("parquet", "data"),
    "imagefolder": ("folder", ""),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """20 pictures, every third with two captions; PNGs are called .jpg; one is under another licence, from the web."""
    folder = tmp_path_factory.mktemp("formats") / "pictures"
    folder.mkdir()
    lines = []
    for number in range(20):
        kind, ending = (("JPEG", "jpg"), ("PNG", "jpg"), ("WEBP", "webp"))[number % 3]
        (folder / f"{number:02d}.{ending}").write_bytes(saved(picture(number, 150 + number, 120), kind))
        line: dict[str, Any] = {"file": f"{number:02d}.{ending}"}
        line["caption"] = [f"第{number}张图片，\n有两行"] + ["同一张图"] * (number % 3 == 0)
        is_found = number == 7
        line["license"], line["url"] = ("CC0-1.0", "https://example.org/a.jpg") if is_found else ("CC-BY-4.0", None)
        lines.append(line)
    (folder / "captions.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    sources = "[{name: photos, kind: folder, path: pictures, license: CC-BY-4.0}]"
    recipe = write_recipe(folder.parent, sources=sources, export="{tar_pairs: 6}", split="{validation: 0.3}")
    return build_corpus(load_recipe(str(recipe)), folder.parent / "corpus")


def exported(corpus: Manifest, out: Path, *overrides: str, workers: int | None = None) -> Manifest:
    return export(corpus, recorded_recipe(corpus.document["lineage"]["recipe"], list(overrides)), out, workers)


def kept(corpus: Manifest) -> list[dict[str, Any]]:
    return [row for row in read_verdicts(corpus).to_pylist() if row["kept"]]


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def pairs(rows: list[dict[str, Any]]) -> Counter[tuple[str, str, str]]:
    return Counter((row["key"], row["caption"], row["image_sha256"]) for row in rows)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_command_the_recipe_and_the_table_name_the_same_formats() -> None:
    assert [each.value for each in ExportFormat] == list(FORMATS)


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_the_same_for_any_number_of_workers_and_its_manifest_holds(
    corpus: Manifest, tmp_path: Path, form: str
) -> None:
    made = [exported(corpus, tmp_path / str(workers), f"export.format={form}", workers=workers) for workers in (1, 4)]
    assert files_of(made[0]) == files_of(made[1])
    assert len({each.id for each in made}) == 1
    assert list(verify_manifest(made[0])) == []
    document = made[0].document
    assert (document["totals"]["pairs"], document["totals"]["pictures"]) == (27, 20)
    assert {split: listed["samples"] > 0 for split, listed in document["splits"].items()} == {
        "train": True, "validation": True
    }  # fmt: skip
    assert sum(listed["samples"] for listed in document["splits"].values()) == 27
    assert {entry["license"]: entry["samples"] for entry in document["licenses"]} == {"CC-BY-4.0": 26, "CC0-1.0": 1}
    assert "manifest.json" in (made[0].folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", [form for form in FORMATS if FORMATS[form].join is None])
def test_the_same_command_again_writes_no_file_anew(corpus: Manifest, tmp_path: Path, form: str) -> None:
    def times(made: Manifest) -> list[int]:
        return [(made.folder / file["name"]).stat().st_mtime_ns for file in made.document["files"]]

    first = times(exported(corpus, tmp_path / "out", f"export.format={form}"))
    assert times(exported(corpus, tmp_path / "out", f"export.format={form}")) == first


@pytest.mark.parametrize("form", FORMATS)
def test_read_back_as_a_source_each_format_gives_the_same_pairs(corpus: Manifest, tmp_path: Path, form: str) -> None:
    exported(corpus, tmp_path / "out", f"export.format={form}")
    kind, below = READ_AGAIN[form]
    recipe = write_recipe(tmp_path, sources=f"[{{name: again, kind: {kind}, path: out/{below}}}]")
    again = build_corpus(load_recipe(str(recipe)), tmp_path / "again")
    columns = ["caption", "image_sha256", "width", "height", "format", "phash64"]
    columns += ["license", "url"] if form != "chinese-clip" else []  # which has no place for them but keys.parquet
    read = [Counter(tuple(row[name] or None for name in columns) for row in kept(each)) for each in (corpus, again)]
    assert read[0] == read[1]
    assert again.document["totals"]["pairs"] == 27


def test_chinese_clip_has_a_picture_a_line_in_base64_and_its_texts_by_id(corpus: Manifest, tmp_path: Path) -> None:
    made = exported(corpus, tmp_path / "out", "export.format=chinese-clip")
    assert {file["name"] for file in made.document["files"]} == {
        "train_imgs.tsv", "train_texts.jsonl", "valid_imgs.tsv", "valid_texts.jsonl", "keys.parquet"
    }  # fmt: skip
    keys = {row["text_id"]: row for row in pq.read_table(made.folder / "keys.parquet").to_pylist()}
    images: dict[int, bytes] = {}
    found, text_ids = [], []
    for split, name in (("train", "train"), ("validation", "valid")):
        for line in (made.folder / f"{name}_imgs.tsv").read_text().splitlines():
            image_id, data = line.strip().split("\t")  # as build_lmdb_dataset.py does
            images[int(image_id)] = base64.b64decode(data, validate=True)
        for text in json_lines(made.folder / f"{name}_texts.jsonl"):
            (image_id,) = text["image_ids"]
            fact = keys[text["text_id"]]
            assert (fact["split"], fact["image_id"], fact["source"]) == (split, image_id, "photos")
            text_ids.append(text["text_id"])
            found.append({"key": fact["key"], "caption": text["text"], "image_sha256": sha256(images[image_id])})
    assert list(images) == list(range(20))
    assert text_ids == list(keys) == list(range(27))
    assert pairs(found) == pairs(kept(corpus))
    assert [row["url"] for row in keys.values() if row["license"] == "CC0-1.0"] == ["https://example.org/a.jpg"]
    assert not (made.folder / ".work" / "pieces").exists()
    exported(corpus, tmp_path / "out", "export.format=chinese-clip", "split.validation=0")
    assert {path.name for path in (tmp_path / "out").glob("*_*")} == {"train_imgs.tsv", "train_texts.jsonl"}


def test_an_export_for_chinese_clip_that_stopped_goes_on_with_its_pieces(
    corpus: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, times = FORMATS["chinese-clip"], []

    def stopped(pieces: Path, parts: Any, out: Path) -> dict[str, str | None]:
        times.append({path.name: path.stat().st_mtime_ns for path in pieces.glob("*_*")})
        if len(times) == 1:
            raise KeyboardInterrupt
        return chinese_clip.join(pieces, parts, out)

    monkeypatch.setitem(FORMATS, "chinese-clip", replace(form, join=stopped))
    with pytest.raises(KeyboardInterrupt):
        exported(corpus, tmp_path / "out", "export.format=chinese-clip")
    assert not (tmp_path / "out" / "manifest.json").exists()
    made = exported(corpus, tmp_path / "out", "export.format=chinese-clip")
    assert times[0] == times[1] != {}
    assert files_of(made) == files_of(exported(corpus, tmp_path / "undisturbed", "export.format=chinese-clip"))


def test_hugging_face_has_a_row_a_picture_that_datasets_takes_for_a_picture(corpus: Manifest, tmp_path: Path) -> None:
    made = exported(corpus, tmp_path / "out", "export.format=huggingface")
    names = [file["name"] for file in made.document["files"]]
    trains = [name for name in names if "train" in name]
    assert trains == [f"data/train-{number:05d}-of-{len(trains):05d}.parquet" for number in range(len(trains))]
    tables = [pq.read_table(made.folder / name) for name in names]
    features = json.loads(tables[0].schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert list(features) == tables[0].schema.names
    found = []
    for row in pa.concat_tables(tables).to_pylist():
        data, path = row["image"]["bytes"], row["image"]["path"]
        opened = Image.open(io.BytesIO(data))
        assert (opened.width, opened.height) == (row["width"], row["height"])
        assert path == f"{row['key'][0]}.{({'JPEG': 'jpg', 'PNG': 'png', 'WEBP': 'webp'})[str(opened.format)]}"
        found += [
            {"key": key, "caption": caption, "image_sha256": sha256(data)}
            for key, caption in zip(row["key"], row["caption"], strict=True)
        ]
    assert pairs(found) == pairs(kept(corpus))
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    assert f"    - {names[0]}\n" in card


def test_where_each_picture_has_one_caption_it_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        (tmp_path / "pictures" / f"{number}.png").write_bytes(saved(picture(number), "PNG"))
        (tmp_path / "pictures" / f"{number}.txt").write_text(f"第{number}张图片", encoding="utf-8")
    corpus = build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "corpus")
    made = exported(corpus, tmp_path / "out", "export.format=huggingface")
    rows = [row for file in made.document["files"] for row in pq.read_table(made.folder / file["name"]).to_pylist()]
    assert {row["key"]: row["caption"] for row in rows} == {row["key"]: row["caption"] for row in kept(corpus)}


def test_a_row_group_of_parquet_holds_no_more_than_fits(
    corpus: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(corpus, tmp_path / "out", "export.format=huggingface")
    rows = tmp_path / "out" / ".work" / "plan" / "train-00000.parquet"
    sizes = [row["bytes"] for row in pq.read_table(rows).to_pylist()]
    monkeypatch.setattr(huggingface, "_GROUP_BYTES", max(sizes) + 1)
    part = Part("p", {"lists": True}, {"rows": InputFile(str(rows), "")}, roots_of(corpus))
    huggingface.write_parquet(part, ExportConfig(pictures="original", quality=90, max_side=None), tmp_path)
    written = pq.ParquetFile(tmp_path / "data" / "p.parquet")
    groups = [written.read_row_group(number) for number in range(written.num_row_groups)]
    assert len(groups) > 1
    assert all(
        sum(map(len, group["image"].combine_chunks().field("bytes").to_pylist())) <= max(sizes) for group in groups
    )


def test_an_imagefolder_has_the_pictures_as_files_and_a_line_a_caption(corpus: Manifest, tmp_path: Path) -> None:
    made = exported(corpus, tmp_path / "out", "export.format=imagefolder")
    found = []
    for listing in sorted(made.folder.glob("*/*/metadata.jsonl")):
        for line in json_lines(listing):
            data = (listing.parent / line["file_name"]).read_bytes()
            found.append({"key": line["key"], "caption": line["text"], "image_sha256": sha256(data)})
    assert pairs(found) == pairs(kept(corpus))
    listed = {name for split in made.document["splits"].values() for name in split["shards"]}
    assert listed == {path.relative_to(made.folder).as_posix() for path in made.folder.glob("*/*/metadata.jsonl")}


@pytest.mark.parametrize("form", FORMATS)
def test_pictures_are_encoded_anew_in_every_format(corpus: Manifest, tmp_path: Path, form: str) -> None:
    sets = [f"export.format={form}", "export.pictures=webp", "export.max_side=64"]
    made = exported(corpus, tmp_path / "out", *sets)
    if form == "huggingface":
        table = pq.read_table(made.folder / made.document["files"][0]["name"])
        data = table["image"].combine_chunks().field("bytes")[0].as_py()
        assert max(table["width"].to_pylist()) == 64
    elif form == "chinese-clip":
        data = base64.b64decode((made.folder / "train_imgs.tsv").read_text().split()[1])
    elif form == "imagefolder":
        data = next(made.folder.glob("train/*/*.webp")).read_bytes()
    else:
        return  # test_export has it
    opened = Image.open(io.BytesIO(data))
    assert (opened.format, max(opened.size)) == ("WEBP", 64)


def test_a_folder_with_an_export_in_another_format_is_left_alone(corpus: Manifest, tmp_path: Path) -> None:
    made = exported(corpus, tmp_path / "out", "export.format=imagefolder")
    with pytest.raises(BadInput, match="holds an export in the format imagefolder; give another --out"):
        exported(corpus, tmp_path / "out")
    assert list(verify_manifest(made)) == []


@pytest.fixture(scope="module")
def broken_and_twins(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Pictures with broken metadata, `KIND.broken.jpg`, and their sound twins, `KIND.twin.jpg`."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "pictures").mkdir()
    for kind in BROKEN:
        seed, form, make, _ = BROKEN_METADATA[kind]
        for name, data in ((f"{kind}.broken", make(seed)), (f"{kind}.twin", saved(picture(seed), form))):
            (folder / "pictures" / f"{name}.jpg").write_bytes(data)
            (folder / "pictures" / f"{name}.txt").write_text(f"图片，{name}", encoding="utf-8")
    recipe = write_recipe(folder, duplicates="{images: none}", captions="{languages: []}")
    return build_corpus(load_recipe(str(recipe)), folder / "corpus")


BROKEN = ("png_text_checksum", "png_large_packed_text", "jpeg_icc_cut", "webp_exif_nonsense", "avif_exif_nonsense")


def test_a_picture_with_broken_metadata_is_exported_as_it_is_or_encoded_anew_like_its_sound_twin(
    broken_and_twins: Manifest, tmp_path: Path
) -> None:
    origins = {row["key"]: row["origin"] for row in kept(broken_and_twins)}
    pictures = {path.name: path.read_bytes() for path in (broken_and_twins.folder.parent / "pictures").glob("*.jpg")}
    assert len(origins) == len(pictures) == 2 * len(BROKEN)

    def written(out: str, *sets: str) -> dict[str, bytes]:
        made = exported(broken_and_twins, tmp_path / out, "export.format=imagefolder", *sets)
        return {origins[path.stem]: path.read_bytes() for path in made.folder.glob("*/*/*.*") if path.stem in origins}

    assert written("as-they-are") == pictures
    anew = written("anew", "export.pictures=png")
    assert all(anew[f"{kind}.broken.jpg"] == anew[f"{kind}.twin.jpg"] for kind in BROKEN)


def test_tokenizer_and_report_see_the_pixels_of_the_sound_twin(broken_and_twins: Manifest) -> None:
    table = read_verdicts(broken_and_twins)
    crops = cropped(table, roots_of(broken_and_twins), side_px=64)
    crop_of = {origin: crop.tobytes() for origin, (crop, _) in zip(table["origin"].to_pylist(), crops, strict=True)}
    thumbnails = SmallPictures(broken_and_twins)
    thumbnails.add(kept(broken_and_twins))
    shown = {row["origin"]: thumbnails.of(row) for row in kept(broken_and_twins)}
    for kind in BROKEN:
        assert crop_of[f"{kind}.broken.jpg"] == crop_of[f"{kind}.twin.jpg"]
        assert shown[f"{kind}.broken.jpg"] == shown[f"{kind}.twin.jpg"] != ""


def test_the_report_counts_the_pairs_whose_picture_has_broken_metadata(broken_and_twins: Manifest) -> None:
    page = write_report(broken_and_twins.folder.parent, broken_and_twins.folder).read_text(encoding="utf-8")
    assert "broken metadata" in page
    numbers = CorpusNumbers()
    for part in corpus_parts(broken_and_twins):
        numbers.add(part)
    counts = Counter(BROKEN_METADATA[kind][3] for kind in BROKEN)
    assert numbers.metadata == {word: [0, count] for word, count in counts.items()}


def test_why_names_the_broken_metadata_of_a_pair(broken_and_twins: Manifest) -> None:
    words = {row["origin"]: explain_pair(broken_and_twins, row["key"])[0]["metadata"] for row in kept(broken_and_twins)}
    assert {words[f"{kind}.broken.jpg"] for kind in BROKEN} == {BROKEN_METADATA[kind][3] for kind in BROKEN}
    assert {words[f"{kind}.twin.jpg"] for kind in BROKEN} == {None}
