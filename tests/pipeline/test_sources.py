"""Folders and tars of all sorts: every picture and caption gets a verdict, and damage is an error."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.executor.part import PictureRoot
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.source_kinds import KINDS
from tuwen.pipeline.sources.folders import list_folder
from tuwen.pipeline.sources.reader import read_picture

from ..conftest import draw, encoded, png, tar_of, write_recipe
from ..stages import build_corpus
from .hostile import picture, saved


def rows_of(folder: Path, sources: str) -> list[dict[str, Any]]:
    recipe = load_recipe(str(write_recipe(folder, sources=sources, images="{min_side: 16}")))
    return list(read_verdicts(build_corpus(recipe, folder / "corpus")).to_pylist())


def test_a_webdataset_source_gives_the_same_pictures_as_its_folder(tmp_path: Path) -> None:
    """Interleaved members, a dotted key, a json caption, and one picture without any."""
    circle, other = png(draw("红", "圆", 60)), png(draw("蓝", "三角", 60))
    members = {
        "a.0.png": circle, "b.png": other, "a.0.txt": "一个圆".encode(), "b.json": b'{"caption": "\\u4e09\\u89d2"}',
        "c.png": png(draw("绿", "方块", 40)), "d.txt": "没有图".encode(),
    }  # fmt: skip
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "000.tar", "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    recipe = load_recipe(str(write_recipe(tmp_path, sources="[{name: tars, kind: webdataset, path: tars}]")))
    rows = {row["origin"]: row for row in read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()}
    assert {name: (row["caption_raw"], row["reason"]) for name, row in rows.items()} == {
        "000.tar/a.0.png": ("一个圆", ""),
        "000.tar/b.png": ("三角", ""),
        "000.tar/c.png": (None, "no_caption"),
        "000.tar/d.txt": ("没有图", "missing_picture"),
    }
    row = rows["000.tar/a.0.png"]
    data = (tmp_path / "tars" / "000.tar").read_bytes()[row["offset"] : row["offset"] + row["bytes"]]
    assert hashlib.sha256(data).hexdigest() == row["image_sha256"]


@pytest.mark.parametrize(
    ("files", "refusal"),
    [
        (None, "does not exist"),
        ({}, "no pictures below"),
        ({"a.txt": b"hello"}, "no pictures below"),
        ({"a.png": png(draw("红", "圆", 40)), "captions.tsv": b"a.png no tab"}, "no row of it can be read"),
        ({"a.png": png(draw("红", "圆", 40)), "captions.jsonl": b"{}"}, "it has no columns"),
        ({"a.png": b"broken", "a.txt": "图".encode()}, "no pair is left"),
    ],
)
def test_a_bad_source_is_one_line_with_the_cure(tmp_path: Path, files: dict[str, bytes] | None, refusal: str) -> None:
    if files is not None:
        (tmp_path / "pictures").mkdir()
        for name, data in files.items():
            (tmp_path / "pictures" / name).write_bytes(data)
    with pytest.raises(BadInput, match=refusal) as raised:
        build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "corpus")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("damage", ["header", "between members", "inside a member"])
def test_a_damaged_tar_is_an_error_and_never_a_shorter_corpus(tmp_path: Path, damage: str) -> None:
    picture = png(draw("红", "圆", 60))
    path = tmp_path / "tars" / "0.tar"
    whole = tar_of(path, {f"{number}.png": picture for number in range(4)})
    member = 512 + -(-len(picture) // 512) * 512
    if damage == "header":
        path.write_bytes(whole[: 2 * member + 150] + b"9" + whole[2 * member + 151 :])
    else:
        path.write_bytes(whole[: 2 * member + (0 if damage == "between members" else 700)])
    recipe = load_recipe(str(write_recipe(tmp_path, sources="[{name: tars, kind: webdataset, path: tars}]")))
    with pytest.raises(BadInput, match=r"0\.tar: (damaged|not a whole tar)"):
        build_corpus(recipe, tmp_path / "corpus")


def test_every_picture_of_a_dotted_key_is_a_pair(tmp_path: Path) -> None:
    names = ["2021.05.01-猫.png", "2021.05.02-狗.png"]
    members = {name: png(draw(colour, "圆", 60)) for name, colour in zip(names, ("红", "蓝"), strict=True)}
    tar_of(
        tmp_path / "tars" / "0.tar", {**members, "2021.05.01-猫.txt": "猫".encode(), "2021.05.02-狗.txt": "狗".encode()}
    )
    recipe = load_recipe(str(write_recipe(tmp_path, sources="[{name: tars, kind: webdataset, path: tars}]")))
    rows = read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()
    assert [(row["origin"], row["caption"]) for row in rows] == [
        (f"0.tar/{names[0]}", "猫"),
        (f"0.tar/{names[1]}", "狗"),
    ]


def test_names_that_are_not_utf8_and_half_surrogates_are_read_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    gbk = folder / os.fsdecode("中.png".encode("gbk"))
    gbk.write_bytes(png(draw("红", "圆", 60)))
    gbk.with_suffix(".txt").write_text("一只猫", encoding="utf-8")
    (folder / "b.png").write_bytes(png(draw("蓝", "圆", 60)))
    (folder / "captions.jsonl").write_text(
        '{"file": "b.png", "caption": "蓝\\ud83d色"}\n{"file": "b.png", "caption": null}'
    )
    rows = {
        row["origin"]: row
        for row in read_verdicts(build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "c")).to_pylist()
    }
    assert rows["\\xd6\\xd0.png"]["caption"] == "一只猫"
    assert rows["\\xd6\\xd0.png"]["kept"]
    assert (
        read_picture(PictureRoot("folder", str(folder)), "\\xd6\\xd0.png", 0, len(gbk.read_bytes())) == gbk.read_bytes()
    )
    assert rows["b.png"]["caption"] == "蓝?色"


def test_file_names_in_captions_jsonl_may_hold_what_no_text_file_can(tmp_path: Path) -> None:
    """Python writes a name that is not UTF-8 as surrogates; half a surrogate pair names no file."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    gbk = os.fsdecode("中.png".encode("gbk"))
    (folder / gbk).write_bytes(png(draw("红", "圆", 60)))
    rows = [
        {"file": gbk, "caption": "一只猫"},
        {"file": "\ud83d.png", "caption": "没有"},
        {"file": "a\0.png", "caption": "没有"},
    ]
    (folder / "captions.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    assert {row["origin"]: (row["caption_raw"], row["reason"]) for row in rows_of(tmp_path, SHAPES)} == {
        "\\xd6\\xd0.png": ("一只猫", ""), "?.png": ("没有", "missing_picture"), "a\0.png": ("没有", "missing_picture"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["urls", "emoji"])
def test_where_pictures_are_gathered_is_absolute_as_workers_may_run_in_another_folder(kind: str) -> None:
    fields = {
        "urls": {"path": "list.csv", "fetch": {"contact": "https://example.com"}},
        "emoji": {"artwork": "twemoji"},
    }
    section = KINDS[kind].section.model_validate({"name": "s", "kind": kind, **fields[kind]})
    located = KINDS[kind].locate(section, Path(), Path("runs/x/corpus/pictures/s"))
    assert located.path == Path.cwd() / "runs/x/corpus/pictures/s"


SHAPES = "[{name: shapes, kind: folder, path: pictures}]"


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("coco-cn.txt", "COCO_val2014_000000000042#zhm#0 一个红色的圆\nCOCO_val2014_000000000042#zhm#1 圆形"),
        (
            "flickr8kcn.txt",
            "COCO_val2014_000000000042.png#zhb#0 一个红色的圆\nCOCO_val2014_000000000042.png#zhb#1 圆形",
        ),
        ("more.tsv", "COCO_val2014_000000000042.png\t一个红色的圆\nCOCO_val2014_000000000042.png\t圆形"),
        ("more.jsonl", '{"file": "COCO_val2014_000000000042.png", "captions": ["一个红色的圆", "圆形"]}'),
    ],
)
def test_five_captions_of_a_picture_are_five_pairs(tmp_path: Path, file: str, lines: str) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "COCO_val2014_000000000042.png").write_bytes(png(draw("红", "圆", 60)))
    (tmp_path / "pictures" / file).write_text(lines, encoding="utf-8")
    rows = rows_of(tmp_path, f"[{{name: coco, kind: folder, path: pictures, captions: {file}}}]")
    assert [(row["caption"], row["kept"]) for row in rows] == [("一个红色的圆", True), ("圆形", True)]
    assert len({row["key"] for row in rows}) == 2


def test_what_img2dataset_writes_is_a_source(tmp_path: Path) -> None:
    """Its tars have .jpg, .txt and .json; a download that failed has a .json alone."""
    document = {"caption": "一个红色的圆", "url": "http://example.org/1.jpg", "key": "000000000", "status": "success"}
    tar_of(
        tmp_path / "00000.tar",
        {
            "000000000.jpg": encoded(draw("红", "圆", 60), "JPEG"), "000000000.txt": "一个红色的圆".encode(),
            "000000000.json": json.dumps(document).encode(), "000000001.json": json.dumps({"caption": "失败"}).encode(),
        },
    )  # fmt: skip
    rows = rows_of(tmp_path, "[{name: fetched, kind: webdataset, path: 00000.tar}]")
    assert [(row["caption"], row["url"], row["reason"]) for row in rows] == [
        ("一个红色的圆", "http://example.org/1.jpg", ""), ("失败", None, "missing_picture"),
    ]  # fmt: skip


def test_a_file_that_no_picture_needs_is_not_taken_into_memory(tmp_path: Path) -> None:
    """One lies in a folder, one in a tar; both are 300 MB of nothing, sparse."""
    (tmp_path / "pictures").mkdir()
    with (tmp_path / "pictures" / "large.png").open("wb") as file:
        file.truncate(300 * 1024**2)
    (tmp_path / "pictures" / "fine.png").write_bytes(png(draw("红", "圆", 60)))
    (tmp_path / "pictures" / "captions.tsv").write_text("large.png\t太大\nfine.png\t一个圆\n", encoding="utf-8")
    header = tarfile.TarInfo("x.png")
    header.size = 300 * 1024**2
    with (tmp_path / "x.tar").open("wb") as file:
        file.write(header.tobuf())
        file.truncate(512 + header.size + 1024)
    sources = "[{name: f, kind: folder, path: pictures}, {name: t, kind: webdataset, path: x.tar}]"
    assert {row["origin"]: row["reason"] for row in rows_of(tmp_path, sources)} == {
        "large.png": "file_too_large", "fine.png": "", "x.tar/x.png": "file_too_large",
    }  # fmt: skip


def test_another_source_is_measured_alone(tmp_path: Path) -> None:
    for name, colour in (("a", "红"), ("b", "蓝")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png(draw(colour, "圆", 60)))
        (tmp_path / name / "1.txt").write_text(f"{colour}色的圆", encoding="utf-8")
    first = "{name: a, kind: folder, path: a}"
    rows_of(tmp_path, f"[{first}]")
    (measured,) = (tmp_path / "corpus" / "measures").glob("a-*.parquet")
    before = measured.stat().st_mtime_ns
    rows = rows_of(tmp_path, f"[{first}, {{name: b, kind: folder, path: b}}]")
    assert [row["caption"] for row in rows] == ["红色的圆", "蓝色的圆"]
    assert measured.stat().st_mtime_ns == before


@pytest.mark.parametrize("kind", ["folder", "tars", "parquet"])
def test_what_is_added_to_a_source_is_measured_with_few_others(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added in front of all, where parts that are counted would all get another name."""
    monkeypatch.setattr(list_folder, "_PART_PICTURES", 4)

    def add(name: str, number: int) -> None:
        data = saved(picture(number), "JPEG")
        if kind == "folder":
            (tmp_path / "data" / f"{name}.jpg").write_bytes(data)
            (tmp_path / "data" / f"{name}.txt").write_text(f"第{name}张", encoding="utf-8")
        elif kind == "tars":
            tar_of(tmp_path / "data" / f"{name}.tar", {"0.jpg": data, "0.txt": f"第{name}张".encode()})
        else:
            pq.write_table(
                pa.table({"image": [data], "caption": [f"第{name}张"]}), tmp_path / "data" / f"{name}.parquet"
            )

    (tmp_path / "data").mkdir()
    for number in range(16):
        add(f"m{number:02d}", number)
    source = f"[{{name: s, kind: {'webdataset' if kind == 'tars' else kind}, path: data}}]"
    rows_of(tmp_path, source)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus" / "measures").glob("*.parquet")}
    assert len(before) > 2
    add("a", 99)
    assert len(rows_of(tmp_path, source)) == 17
    kept = [path for path, time in before.items() if path.is_file() and path.stat().st_mtime_ns == time]
    assert len(kept) >= len(before) - 1
