"""Data sets of 20 pictures, laid out as their tools write them, through list, read, corpus and export.

The layouts were compared with what datasets 5.2 (`save_to_disk`, `push_to_hub`) and img2dataset 1.47 wrote.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuwen.manifests.manifest import Manifest
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe

from ...conftest import write_recipe
from ...stages import build_corpus, export
from ..hostile import picture, saved
from .reading import Reading
from .test_chinese_clip import NOUNS, write_split

CAPTIONS = [f"照片里有一{noun}" for noun in NOUNS]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {"image": {"_type": "Image"}, "text": {"dtype": "string", "_type": "Value"}}


def pictures(seed: int) -> list[bytes]:
    return [saved(picture(seed + number, 80, 64), "JPEG") for number in range(20)]


def hugging_face(datas: list[bytes]) -> pa.Table:
    structs = pa.array([{"bytes": data, "path": f"{number}.jpg"} for number, data in enumerate(datas)], IMAGE)
    table = pa.table({"image": structs, "text": CAPTIONS})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})


def write_hub(folder: Path, datas: list[bytes]) -> None:
    """A clone of a repository of the Hub: data/ with Parquet of row groups of 100, and its card."""
    (folder / "data").mkdir(parents=True)
    pq.write_table(hugging_face(datas), folder / "data" / "train-00000-of-00001.parquet", row_group_size=100)
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    (folder / ".gitattributes").write_text("*.parquet filter=lfs\n")


def write_save_to_disk(folder: Path, datas: list[bytes]) -> None:
    """Two shards of Arrow streams in batches of 8."""
    (folder / "train").mkdir(parents=True)
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    table = hugging_face(datas)
    for number, rows in enumerate((table.slice(0, 12), table.slice(12))):
        path = folder / "train" / f"data-{number:05d}-of-00002.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(rows, max_chunksize=8)
    state = {
        "_data_files": [{"filename": f"data-{number:05d}-of-00002.arrow"} for number in range(2)],
        "_split": "train",
    }
    (folder / "train" / "state.json").write_text(json.dumps(state))
    (folder / "train" / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))


def write_img2dataset(folder: Path, datas: list[bytes]) -> None:
    """Two shards; the last download of each failed."""
    folder.mkdir(parents=True)
    for shard, start in enumerate((0, 10)):
        rows = [_row(number, f"{shard:05d}{number:04d}", datas[number]) for number in range(start, start + 9)]
        rows.append({**dict.fromkeys(rows[0]), **_failed(start + 9, f"{shard:05d}{start + 9:04d}")})
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{shard:05d}.parquet")
        (folder / f"{shard:05d}_stats.json").write_text('{"count": 10, "successes": 9}')


def _row(number: int, key: str, data: bytes) -> dict[str, Any]:
    asked = {"caption": CAPTIONS[number], "url": f"http://example.org/{number}.jpg", "key": key}
    sizes = dict.fromkeys(("width", "original_width"), 80) | dict.fromkeys(("height", "original_height"), 64)
    done = {"status": "success", "error_message": None, "exif": "{}", "sha256": hashlib.sha256(data).hexdigest()}
    return asked | done | sizes | {"jpg": data}


def _failed(number: int, key: str) -> dict[str, Any]:
    asked = {"caption": CAPTIONS[number], "url": f"http://example.org/{number}.jpg", "key": key}
    return asked | {"status": "failed_to_download", "error_message": "HTTP Error 404: Not Found"}


WRITERS = {"hub": write_hub, "saved": write_save_to_disk, "fetched": write_img2dataset}
PASSED = {
    "hub": {"*.md": 1, "hidden": 1}, "saved": {}, "fetched": {"*.json": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_every_picture_and_caption_is_read_as_it_lies(tmp_path: Path, name: str) -> None:
    datas = pictures(0)
    WRITERS[name](tmp_path / name, datas)
    reading = Reading("parquet", tmp_path / name)
    failed = {9, 19} if name == "fetched" else set()
    assert [item.data for item in reading.items] == [
        None if number in failed else data for number, data in enumerate(datas)
    ]
    assert [item.captions for item in reading.items] == [[caption] for caption in CAPTIONS]
    assert {kind: each["count"] for kind, each in reading.passed.items()} == PASSED[name]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """One of five sources and an evaluation set, each as it lies."""
    folder = tmp_path_factory.mktemp("lie")
    for number, (name, write) in enumerate(WRITERS.items()):
        write(folder / name, pictures(100 * number))
    write_split(folder / "MUGE", "train", pictures=dict(enumerate(pictures(1000), 1000)))
    known = dict(enumerate([*pictures(1000)[:2], *pictures(0)[:3]]))
    write_split(folder / "Flickr30k-CN", "test", [], pictures=known)
    sources = ", ".join(f"{{name: {name}, kind: parquet, path: {name}}}" for name in WRITERS)
    sections = {
        "sources": f"[{sources}, {{name: muge, kind: chinese-clip, path: MUGE}}]",
        "evaluation": "[{name: flickr, kind: chinese-clip, path: Flickr30k-CN}]", "images": "{min_side: 16}",
        "duplicates": "{images: exact, captions: none}", "captions": "{max_count: 100}",
    }  # fmt: skip
    return build_corpus(load_recipe(str(write_recipe(folder, **sections))), folder / "corpus")


def kept(corpus: Manifest) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in read_verdicts(corpus).to_pylist() if row["kept"]}


def test_all_of_them_make_one_corpus_without_the_pictures_of_the_evaluation(corpus: Manifest) -> None:
    rows = read_verdicts(corpus).to_pylist()
    assert len(rows) == 80
    fallen = [(row["stage"], row["reason"]) for row in rows if not row["kept"]]
    assert Counter(fallen) == {("read", "missing_picture"): 2, ("evaluation", "same_bytes"): 5}
    facts = corpus.document["lineage"]["sources"]
    assert facts["saved"]["reads"] == ["train/data-00000-of-00002.arrow and 1 more: image, text"]
    assert facts["fetched"]["passed_over"]["*.json"]["count"] == 2
    assert facts["muge"]["reads"] == ["train_imgs.tsv: texts of train_texts.jsonl"]


@pytest.mark.parametrize(
    ("form", "kind"), [("webdataset", "webdataset"), ("huggingface", "parquet"), ("chinese-clip",) * 2]
)
def test_what_is_exported_is_read_again_with_the_same_pictures_and_captions(
    corpus: Manifest, tmp_path: Path, form: str, kind: str
) -> None:
    recipe = load_recipe(str(corpus.folder.parent / "shapes.yaml"), [f"export.format={form}"])
    made = export(corpus, recipe, tmp_path / "exported")
    reading = Reading(kind, made.folder)
    found = sorted(
        (hashlib.sha256(item.data).hexdigest(), caption)
        for item in reading.items if item.data is not None for caption in item.captions
    )  # fmt: skip
    assert found == sorted((row["image_sha256"], row["caption"]) for row in kept(corpus).values())
    assert not reading.missing
