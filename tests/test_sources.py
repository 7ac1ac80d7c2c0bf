"""Folders and tars as they are found: nothing in them is lost without a word, and what is damaged is said."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from tuwen.manifests.errors import BadInput
from tuwen.manifests.recipe import load_recipe
from tuwen.pipeline.corpus import build_corpus, read_verdicts
from tuwen.pipeline.sources import read_picture

from .conftest import draw, png, tar_of, write_recipe


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
    ("files", "said"),
    [
        (None, "does not exist"),
        ({}, "no pictures below"),
        ({"a.txt": b"hello"}, "no pictures below"),
        ({"a.png": png(draw("红", "圆", 40)), "captions.tsv": b"a.png no tab"}, "line 1 has no tab"),
        ({"a.png": png(draw("红", "圆", 40)), "captions.jsonl": b"{}"}, "line 1 is not one"),
        ({"a.png": b"broken", "a.txt": "图".encode()}, "no pair is left"),
    ],
)
def test_a_bad_source_is_one_line_with_the_cure(tmp_path: Path, files: dict[str, bytes] | None, said: str) -> None:
    if files is not None:
        (tmp_path / "pictures").mkdir()
        for name, data in files.items():
            (tmp_path / "pictures" / name).write_bytes(data)
    with pytest.raises(BadInput, match=said) as refusal:
        build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "corpus")
    assert "\n" not in str(refusal.value)


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
    assert read_picture(folder, "\\xd6\\xd0.png", 0, 100) == gbk.read_bytes()[:100]
    assert rows["b.png"]["caption"] == "蓝?色"
