"""What was read first is what is read again: export finds each picture by the rule by which it was measured.

Export, tokenizer, scores and report all read by `sources.reader.read_picture`.
"""

import base64
import gzip
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from tuwen.manifests.manifest import Manifest
from tuwen.manifests.run_folders import TEXT_MODEL
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe, recorded_recipe
from tuwen.tokenize.check_shards import check_shards

from ..conftest import tar_of, write_recipe
from ..stages import build_corpus, export, train_tokenizers, write_shards
from .hostile import picture, saved

NUM_PICTURES = 5
PICTURES = [saved(picture(seed), "JPEG") for seed in range(NUM_PICTURES)]
OTHERS = [(saved(picture(seed + 50), "JPEG") + bytes(9999))[: len(PICTURES[seed])] for seed in range(NUM_PICTURES)]
CAPTIONS = [f"第{number}张图片" for number in range(NUM_PICTURES)]
MEMBERS = {
    f"{number:03d}.{ending}": data
    for number in range(NUM_PICTURES)
    for ending, data in (("jpg", PICTURES[number]), ("txt", CAPTIONS[number].encode()))
}


def table() -> pa.Table:
    return pa.table({"image": PICTURES, "caption": CAPTIONS})


def two_columns(folder: Path) -> None:
    """Both have bytes of one length, and the one that is not meant has a usual name."""
    pq.write_table(pa.table({"image": OTHERS, "original": PICTURES, "caption": CAPTIONS}), folder / "data.parquet")


def two_columns_of_files(folder: Path) -> None:
    columns = {"image": OTHERS, "original": PICTURES}
    structs = {name: [{"bytes": data, "path": "a.jpg"} for data in datas] for name, datas in columns.items()}
    pq.write_table(pa.table({**structs, "caption": CAPTIONS}), folder / "data.parquet")


def named_pq(folder: Path) -> None:
    pq.write_table(table(), folder / "data.pq")


def base64_column(folder: Path) -> None:
    texts = [base64.b64encode(data).decode() for data in PICTURES]
    pq.write_table(pa.table({"image": texts, "caption": CAPTIONS}), folder / "data.parquet")


def two_pictures_a_row(folder: Path) -> None:
    rows = {"images": [PICTURES[:2], PICTURES[2:]], "caption": CAPTIONS[:2]}
    pq.write_table(pa.table(rows), folder / "data.parquet")


def paths_in_a_table(folder: Path) -> None:
    (folder / "pictures").mkdir()
    for number, data in enumerate(PICTURES):
        (folder / "pictures" / f"{number}.jpg").write_bytes(data)
    paths = [f"pictures/{number}.jpg" for number in range(NUM_PICTURES)]
    pq.write_table(pa.table({"image": paths, "caption": CAPTIONS}), folder / "data.parquet")


def chinese_clip(folder: Path) -> None:
    for number, data in enumerate(PICTURES):
        with (folder / "train_imgs.tsv").open("a") as images, (folder / "train_texts.jsonl").open("a") as texts:
            images.write(f"{number}\t{base64.b64encode(data).decode()}\n")
            texts.write(json.dumps({"text_id": number, "text": CAPTIONS[number], "image_ids": [number]}) + "\n")


def arrow_stream(folder: Path) -> None:
    path = str(folder / "data-00000-of-00001.arrow")
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, table().schema) as writer:
        writer.write_table(table(), max_chunksize=2)


def named_tar_in_capitals(folder: Path) -> None:
    tar_of(folder / "0.TAR", MEMBERS)


def gzip_with_its_ending(folder: Path) -> None:
    _gzip(folder, "0.tar.gz")


def gzip_that_is_called_tar(folder: Path) -> None:
    _gzip(folder, "0.tar")


def archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "0.zip", "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in MEMBERS.items():
            made.writestr(name, data)


def tar_in_a_tar(folder: Path) -> None:
    inner = tar_of(folder / "inner", MEMBERS)
    (folder / "inner").unlink()
    tar_of(folder / "0.tar", {"day/1.tar": inner})


def _gzip(folder: Path, name: str) -> None:
    whole = tar_of(folder / "whole", MEMBERS)
    (folder / "whole").unlink()
    (folder / name).write_bytes(gzip.compress(whole, mtime=0))


# Sources that are one file, and then may be named as such; and those that are several.
ONE_FILE: dict[Callable[[Path], None], str] = {
    two_columns: "kind: parquet, image: original",
    two_columns_of_files: "kind: parquet, image: original",
    named_pq: "kind: parquet",
    base64_column: "kind: parquet",
    two_pictures_a_row: "kind: parquet",
    arrow_stream: "kind: parquet",
    named_tar_in_capitals: "kind: webdataset",
    gzip_with_its_ending: "kind: webdataset",
    gzip_that_is_called_tar: "kind: webdataset",
    archive: "kind: webdataset",
    tar_in_a_tar: "kind: webdataset",
}
SEVERAL_FILES: dict[Callable[[Path], None], str] = {
    paths_in_a_table: "kind: parquet",
    chinese_clip: "kind: chinese-clip",
}
SOURCES = {f"{write.__name__}-in-a-folder": (write, kind) for write, kind in (ONE_FILE | SEVERAL_FILES).items()}
SOURCES |= {f"{write.__name__}-named": (write, kind) for write, kind in ONE_FILE.items()}

Exported = dict[str, list[tuple[str, str, bytes]]]  # source → caption, measured sha256, exported bytes of each pair


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """One corpus of all sources."""
    base = tmp_path_factory.mktemp("read-again")
    sections = []
    for name, (write, kind) in SOURCES.items():
        (base / name).mkdir()
        write(base / name)
        path = f"{name}/{next((base / name).iterdir()).name}" if name.endswith("-named") else name
        sections.append(f"{{name: {name}, path: {path}, {kind}}}")
    recipe = write_recipe(base, sources=f"[{', '.join(sections)}]", duplicates="{images: none}")
    return build_corpus(load_recipe(str(recipe)), base / "corpus")


@pytest.fixture(scope="module")
def exported(corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The corpus exported as files."""
    again = recorded_recipe(corpus.document["lineage"]["recipe"], ["export.format=imagefolder"])
    made = export(corpus, again, tmp_path_factory.mktemp("out"))
    pictures = {path.stem: path.read_bytes() for path in made.folder.glob("*/*/*.jpg")}
    found: Exported = {name: [] for name in SOURCES}
    for row in read_verdicts(corpus).to_pylist():
        if row["kept"]:
            found[row["source"]].append((row["caption"], row["image_sha256"], pictures[row["key"]]))
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_export_finds_the_pictures_that_were_measured(exported: Exported, name: str) -> None:
    pairs = exported[name]
    assert all(hashlib.sha256(data).hexdigest() == measured for _, measured, data in pairs)
    if SOURCES[name][0] is two_pictures_a_row:
        assert sorted(data for _, _, data in pairs) == sorted(PICTURES)
    else:
        assert {caption: data for caption, _, data in pairs} == dict(zip(CAPTIONS, PICTURES, strict=True))


def test_tokenize_finds_the_pictures_that_were_measured(corpus: Manifest, tmp_path: Path) -> None:
    """Their shards hold a row of each pair, and encoding them again gives the same codes."""
    recipe = recorded_recipe(corpus.document["lineage"]["recipe"], ["tokenize.text.vocab=64", "split.validation=0"])
    recipe._base = corpus.folder.parent
    train_tokenizers(recipe, corpus, tmp_path / "tokenizer", ("text",))
    shards = write_shards(recipe, corpus, tmp_path / "tokenizer" / TEXT_MODEL, tmp_path / "shards")
    assert shards.totals["samples"] == corpus.totals["kept"]
    found = check_shards(corpus, shards, rows=1000)
    assert (found.faults, found.rows) == ([], shards.totals["samples"])
