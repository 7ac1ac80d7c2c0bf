"""What was read first is what is read again: export finds each picture by the rule by which it was measured.

Export, tokenizer, scores and report all read by `sources.reader.read_picture`.
"""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe, recorded_recipe

from ..conftest import tar_of, write_recipe
from ..stages import build_corpus, export
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


WRITERS: dict[Callable[[Path], None], str] = {
    two_columns: "kind: parquet, image: original",
    two_columns_of_files: "kind: parquet, image: original",
    named_pq: "kind: parquet",
    arrow_stream: "kind: parquet",
    named_tar_in_capitals: "kind: webdataset",
    gzip_with_its_ending: "kind: webdataset",
    gzip_that_is_called_tar: "kind: webdataset",
    archive: "kind: webdataset",
    tar_in_a_tar: "kind: webdataset",
}


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("is_one_file", [False, True], ids=["folder", "file"])
def test_export_finds_the_pictures_that_were_measured(
    tmp_path: Path, write: Callable[[Path], None], is_one_file: bool
) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    write(folder)
    (file,) = folder.iterdir()
    path = f"source/{file.name}" if is_one_file else "source"
    recipe = write_recipe(tmp_path, sources=f"[{{name: s, path: {path}, {WRITERS[write]}}}]")
    corpus = build_corpus(load_recipe(str(recipe)), tmp_path / "corpus")
    caption_of = {row["key"]: row["caption"] for row in read_verdicts(corpus).to_pylist() if row["kept"]}
    assert sorted(caption_of.values()) == CAPTIONS
    again = recorded_recipe(corpus.document["lineage"]["recipe"], ["export.format=imagefolder"])
    made = export(corpus, again, tmp_path / "out")
    exported = {caption_of[path.stem]: path.read_bytes() for path in made.folder.glob("*/*/*.jpg")}
    assert exported == dict(zip(CAPTIONS, PICTURES, strict=True))
