"""Texts in archives: their encoding, what lies beside a picture, and JSON."""

import json
from pathlib import Path

import pytest

from tuwen.manifests.errors import BadInput

from .archives import GREEN, RED, SAMPLES, gzip_bytes, reading, saved_as, tar_bytes, text, zip_bytes


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "utf-8", "utf-16"])
@pytest.mark.parametrize("container", ["tar", "gzip", "zip"])
def test_the_encoding_of_texts_is_told_for_the_source_and_recorded(
    tmp_path: Path, encoding: str, container: str
) -> None:
    words = "一隻貓在桌子上看著我們的照片" if encoding == "big5" else "一只猫在桌子上看着我们的照片"
    members = [(f"{n}.jpg", RED) for n in range(9)] + [(f"{n}.txt", f"{words}{n}".encode(encoding)) for n in range(9)]
    pack = {"tar": tar_bytes, "zip": zip_bytes, "gzip": lambda each: gzip_bytes(tar_bytes(each))}[container]
    for number in range(3):
        saved_as(tmp_path / "data" / str(number), pack(members))
    read = reading(tmp_path / "data")
    assert read.listing.encoding == ("utf-8" if encoding == "utf-16" else encoding)  # a mark speaks for its own text
    assert all(captions == [f"{words}{name[-5]}"] for name, captions in read.captions.items())
    assert len(read.items) == 27


def test_a_text_that_is_not_of_the_encoding_is_a_broken_row(tmp_path: Path) -> None:
    members = [*SAMPLES, ("c.jpg", GREEN), ("c.txt", "猫咪".encode("gbk"))]
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes(members)), encoding="utf-8")
    assert read.problems == {"0.tar/c.jpg": "broken_row"}
    assert read.captions["0.tar/c.jpg"] == []
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes(members[4:])), encoding="gbk")
    assert read.captions == {"0.tar/c.jpg": ["猫咪"]}


def test_an_encoding_that_is_not_clear_is_refused_with_the_key_that_names_it(tmp_path: Path) -> None:
    members = [("a.jpg", RED), ("a.txt", b"\xff\xff\xff\xff")]
    with pytest.raises(BadInput, match="source s: the encoding of its texts is not clear; name it with `encoding:`"):
        reading(saved_as(tmp_path / "0.tar", tar_bytes(members)))


@pytest.mark.parametrize(
    ("beside", "captions"),
    [
        ({"txt": "一行\n两行\n"}, ["一行", "两行"]),
        ({"caption": "一只猫"}, ["一只猫"]),
        ({"json": '{"caption": "第一段。\\n\\n第二段。"}'}, ["第一段。\n\n第二段。"]),
        ({"json": '{"caption": "第一段。 第二段。"}', "txt": "第一段。\n第二段。"}, ["第一段。 第二段。"]),
        ({"json": '{"caption": "别的"}', "txt": "第一段。\n第二段。"}, ["第一段。", "第二段。"]),
        ({"json": '{"captions": ["一", null, 2]}'}, ["一", "2"]),
        ({"jpg.txt": "一只猫"}, ["一只猫"]),
        ({"jpg.json": '{"caption": "一只猫"}'}, ["一只猫"]),
        ({"JPG.TXT": "一只猫"}, ["一只猫"]),
    ],
)
def test_what_lies_beside_a_picture_is_its_text(tmp_path: Path, beside: dict[str, str], captions: list[str]) -> None:
    members = [("a.jpg", RED), *((f"a.{name}", text(words)) for name, words in beside.items())]
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes(members)))
    assert read.captions == {"0.tar/a.jpg": captions}


def test_json_says_address_and_licence_and_a_value_that_is_no_text_breaks_its_row(tmp_path: Path) -> None:
    rows = [{"caption": "猫", "url": "http://e.org/1", "license": 4}, {"caption": {"zh": "猫"}}]
    members = [(f"{n}.{end}", data) for n, row in enumerate(rows) for end, data in
               (("jpg", RED), ("json", json.dumps(row).encode()))]  # fmt: skip
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes(members)))
    assert [(item.url, item.license, item.problem) for item in read.items] == [
        ("http://e.org/1", "4", None), (None, None, "broken_row"),
    ]  # fmt: skip


def test_a_json_of_two_megabytes_is_read(tmp_path: Path) -> None:
    row = {"embedding": "x" * (2 << 20), "caption": "猫"}
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes([("a.jpg", RED), ("a.json", json.dumps(row).encode())])))
    assert read.captions == {"0.tar/a.jpg": ["猫"]}


def test_a_field_called_problem_in_the_json_of_a_user_is_no_verdict(tmp_path: Path) -> None:
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes([("a.json", b'{"caption": "x", "problem": "none"}')])))
    assert read.missing == ["0.tar/a.json"]
    assert not read.problems
