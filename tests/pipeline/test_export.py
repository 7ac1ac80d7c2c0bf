"""The kept pairs as tars for other people: nothing lost, nothing changed, nothing unexplained."""

import hashlib
import io
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import webdataset
from PIL import Image

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.verify import verify_manifest
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe, recorded_recipe

from ..conftest import files_of, write_recipe
from ..stages import build_corpus, export
from .hostile import picture, saved

NUM_PICTURES = 30


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """30 pictures of several formats, every third with two captions; one on its side; two that are dropped."""
    folder = tmp_path_factory.mktemp("exported") / "pictures"
    folder.mkdir()
    for number in range(NUM_PICTURES):
        kind, ending = (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"))[number % 3]
        (folder / f"{number:02d}.{ending}").write_bytes(saved(picture(number, 150 + number, 120), kind))
        captions = [f"第{number}张图片"] + ["电话13812345678的图"] * (number % 3 == 0)
        (folder / f"{number:02d}.txt").write_text("\n".join(captions), encoding="utf-8")
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "turned.jpg").write_bytes(saved(picture(50, 200, 100), "JPEG", exif=exif))
    (folder / "turned.txt").write_text("横着的图片", encoding="utf-8")
    (folder / "small.png").write_bytes(saved(picture(60, 20, 20), "PNG"))
    (folder / "small.txt").write_text("太小的图片", encoding="utf-8")
    (folder / "broken.jpg").write_bytes(b"none")
    sources = "[{name: photos, kind: folder, path: pictures, license: CC-BY-4.0, attribution: 'A | B\n\nC'}]"
    recipe = write_recipe(folder.parent, sources=sources, export="{tar_pairs: 10, contact: remove@example.org}")
    return build_corpus(load_recipe(str(recipe)), folder.parent / "corpus")


def exported(corpus: Manifest, out: Path, *overrides: str, workers: int | None = None) -> Manifest:
    return export(corpus, recorded_recipe(corpus.document["lineage"]["recipe"], list(overrides)), out, workers)


def samples(made: Manifest) -> list[dict[str, Any]]:
    """By vanilla webdataset."""
    urls = [str(made.folder / file["name"]) for file in made.document["files"]]
    return list(webdataset.WebDataset(urls, shardshuffle=False))


def ending_of(sample: dict[str, Any]) -> str:
    return next(name for name in sample if name in ("jpg", "png", "webp"))


def test_every_kept_pair_is_in_one_sample_with_the_bytes_of_its_picture(corpus: Manifest, tmp_path: Path) -> None:
    made = exported(corpus, tmp_path / "out")
    kept = [row for row in read_verdicts(corpus).to_pylist() if row["kept"]]
    assert len(kept) == made.document["totals"]["pairs"] == 41
    assert made.document["totals"]["pictures"] == 31
    expected = Counter((row["key"], row["caption"], row["image_sha256"]) for row in kept)
    exported_pairs: Counter[tuple[str, str, str]] = Counter()
    for sample in samples(made):
        sha256 = hashlib.sha256(sample[ending_of(sample)]).hexdigest()
        document = json.loads(sample["json"])
        assert sample["txt"].decode().split("\n") == document["captions"]
        assert (document["key"], document["sha256"]) == (sample["__key__"], sha256)
        exported_pairs.update(
            (key, caption, sha256) for key, caption in zip(document["keys"], document["captions"], strict=True)
        )
    assert exported_pairs == expected
    assert list(verify_manifest(made)) == []


def test_read_back_as_a_source_it_gives_the_same_pairs(corpus: Manifest, tmp_path: Path) -> None:
    made = exported(corpus, tmp_path / "out")
    recipe = write_recipe(tmp_path, sources="[{name: again, kind: webdataset, path: out}]")
    again = build_corpus(load_recipe(str(recipe)), tmp_path / "again")
    columns = ["caption", "image_sha256", "width", "height", "format", "license", "phash64"]
    pairs = [
        Counter(tuple(row[name] for name in columns) for row in read_verdicts(each).to_pylist() if row["kept"])
        for each in (corpus, again)
    ]
    assert pairs[0] == pairs[1]
    assert again.document["totals"]["pairs"] == made.document["totals"]["pairs"]
    assert again.document["totals"]["kept"] == 41


def test_the_tars_are_the_same_for_any_number_of_workers_and_hold_no_more_than_asked(
    corpus: Manifest, tmp_path: Path
) -> None:
    made = [exported(corpus, tmp_path / str(workers), workers=workers) for workers in (1, 2, 4)]
    assert files_of(made[0]) == files_of(made[1]) == files_of(made[2])
    assert len({each.id for each in made}) == 1
    assert all(10 <= file["rows"] <= 11 or file["rows"] < 10 for file in made[0].document["files"])
    assert sum(file["rows"] >= 10 for file in made[0].document["files"]) >= 3


def test_duplicates_are_in_one_split_and_splits_sum(corpus: Manifest, tmp_path: Path) -> None:
    made = exported(corpus, tmp_path / "out", "split.validation=0.4")
    clusters = {
        split: {
            json.loads(sample["json"])["cluster"]
            for sample in webdataset.WebDataset(
                [str(made.folder / name) for name in listed["shards"]], shardshuffle=False
            )
        }
        for split, listed in made.document["splits"].items()
    }
    assert clusters["train"] and clusters["validation"] and not clusters["train"] & clusters["validation"]
    assert sum(listed["samples"] for listed in made.document["splits"].values()) == 41


@pytest.mark.parametrize(("kind", "ending"), [("jpeg", "jpg"), ("webp", "webp"), ("png", "png")])
def test_encoded_anew_pictures_are_upright_scaled_and_without_metadata(
    corpus: Manifest, tmp_path: Path, kind: str, ending: str
) -> None:
    made = exported(corpus, tmp_path / "out", f"export.pictures={kind}", "export.max_side=96")
    by_origin = {json.loads(sample["json"])["origin"]: sample for sample in samples(made)}
    assert {ending_of(sample) for sample in by_origin.values()} == {ending}
    turned = Image.open(io.BytesIO(by_origin["turned.jpg"][ending]))
    assert turned.size == (48, 96)
    assert not turned.getexif()
    document = json.loads(by_origin["turned.jpg"]["json"])
    assert (document["width"], document["height"]) == (48, 96)


def test_personal_data_leaves_neither_in_captions_nor_beside_them(corpus: Manifest, tmp_path: Path) -> None:
    made = exported(corpus, tmp_path / "out")
    everything = b"".join(sample["txt"] + sample["json"] for sample in samples(made))
    assert b"13812345678" not in everything
    assert "的图".encode() in everything


def test_the_card_names_sources_rules_losses_and_whom_to_ask(corpus: Manifest, tmp_path: Path) -> None:
    made = exported(corpus, tmp_path / "out")
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    for words in (
        "| photos | CC-BY-4.0 | 41 | A \\| B C |", "too_small 1", "not_a_picture 1", "write to remove@example.org",
        corpus.id, "license: cc-by-4.0", "`KEY.jpg|png|webp`", "    - train-00000.tar",
        "41 Chinese captions of 31 pictures",
    ):  # fmt: skip
        assert words in card, words
    tars = {file["name"]: file["sha256"] for file in made.document["files"]}
    described = json.loads((made.folder / "croissant.json").read_text(encoding="utf-8"))
    listed = {entry["name"]: f"sha256:{entry['sha256']}" for entry in described["distribution"] if "sha256" in entry}
    assert listed == tars


def test_a_picture_that_changed_since_is_not_exported(corpus: Manifest, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(corpus.folder.parent, run)
    again = build_corpus(load_recipe(str(run / "shapes.yaml")), run / "corpus")
    (run / "pictures" / "01.png").write_bytes(saved(picture(99, 151, 120), "PNG"))
    with pytest.raises((CheckFailed, BadInput), match="run `tuwen corpus` again"):
        exported(again, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    shutil.rmtree(run / "pictures")
    with pytest.raises(BadInput, match="source photos are not at"):
        exported(load_manifest(run / "corpus"), tmp_path / "out")


def test_original_bytes_cannot_be_scaled(corpus: Manifest) -> None:
    with pytest.raises(BadInput, match="original bytes cannot be scaled"):
        recorded_recipe(corpus.document["lineage"]["recipe"], ["export.max_side=96"])
