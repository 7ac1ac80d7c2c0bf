"""Archives: every member is a pair, belongs to one, or is counted as passed over."""

import io
import json
import re
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.pipeline.sources.archives.list_archives import WebDatasetSource, list_source, locate
from tuwen.pipeline.sources.passed_over import PassedFile
from tuwen.pipeline.sources.reader import read_part
from tuwen.pipeline.sources.source import SourceItem

from .archives import BLUE, GREEN, RED, gzip_bytes, pictures, reading, saved_as, tar_bytes, text, zip_bytes

TEXTS = ("txt", "json", "caption")


def test_two_members_of_one_name_are_two_pairs_each_with_its_own_text(tmp_path: Path) -> None:
    members = [("a.jpg", RED), ("a.txt", text("红")), ("a.jpg", BLUE), ("a.txt", text("蓝"))]
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes(members)))
    assert pictures(read) == {"0.tar/a.jpg": (RED, ["红"]), "0.tar/a.jpg#2": (BLUE, ["蓝"])}


def test_a_name_that_looks_like_the_second_of_another_keeps_itself(tmp_path: Path) -> None:
    members = [("a.jpg", RED), ("a.jpg", BLUE), ("a.jpg#2", GREEN), ("b", RED), ("b", BLUE), ("b#2", GREEN)]
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes(members)))
    assert {item.origin: item.data for item in read.items} == {
        "0.tar/a.jpg": RED, "0.tar/a.jpg#2": GREEN, "0.tar/a.jpg#3": BLUE,
        "0.tar/b": RED, "0.tar/b#2": GREEN, "0.tar/b#3": BLUE,
    }  # fmt: skip


def test_names_that_differ_in_case_alone_are_two_pairs_with_the_same_text(tmp_path: Path) -> None:
    members = [("a.jpg", RED), ("a.JPG", BLUE), ("a.TXT", text("圆"))]
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes(members)))
    assert pictures(read) == {"0.tar/a.jpg": (RED, ["圆"]), "0.tar/a.JPG": (BLUE, ["圆"])}


def test_pictures_are_told_by_content_where_the_ending_says_nothing(tmp_path: Path) -> None:
    members = [("a.jpg!large", RED), ("a.txt", text("红")), ("b", BLUE), ("b.txt", text("蓝")), ("c.jpe", GREEN),
               ("c.npy", b"\x93NUMPY")]  # fmt: skip
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes(members)))
    assert pictures(read) == {
        "0.tar/a.jpg!large": (RED, ["红"]), "0.tar/b": (BLUE, ["蓝"]), "0.tar/c.jpe": (GREEN, []),
    }  # fmt: skip


def test_what_is_no_picture_and_no_text_is_counted_by_kind(tmp_path: Path) -> None:
    buffer = io.BytesIO(tar_bytes([("a.jpg", RED), ("._a.jpg", b"x"), ("d/.DS_Store", b"x"), ("__shard__", b"{}"),
                                   ("notes.docx", b"PK\3\4"), ("LICENSE", b"MIT")]))  # fmt: skip
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for name, kind in (("d", tarfile.DIRTYPE), ("l.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE),
                           ("null", tarfile.CHRTYPE)):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.jpg"
            tar.addfile(info)
    read = reading(saved_as(tmp_path / "0.tar", buffer.getvalue()))
    assert [item.origin for item in read.items] == ["0.tar/a.jpg"]
    assert {kind: each["count"] for kind, each in read.passed.items()} == {
        "hidden": 2, "WebDataset's metadata": 1, "*.docx": 1, "no ending": 1, "folder": 1, "symbolic link": 1,
        "hard link": 1, "device": 1,
    }  # fmt: skip


def test_a_name_that_only_begins_with_underscores_is_a_picture(tmp_path: Path) -> None:
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes([("__1.jpg", RED), ("__1.txt", text("红"))])))
    assert pictures(read) == {"0.tar/__1.jpg": (RED, ["红"])}


def test_texts_that_no_picture_has_are_items_of_their_own(tmp_path: Path) -> None:
    members = [("a.jpg", RED), ("a.1.txt", text("没有图")), ("a.txt", text("红")), ("a.txt", text("第二个"))]
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes(members)))
    assert pictures(read) == {
        "0.tar/a.jpg": (RED, ["红"]), "0.tar/a.1.txt": (None, ["没有图"]), "0.tar/a.txt#2": (None, ["第二个"]),
    }  # fmt: skip


NAMES = st.sampled_from(
    ["a", "a.jpg", "a.JPG", "a.jpg#2", "a#2", "a.txt", "a.0.txt", "a.json", "a.0.png", "a.npy", "b/a.jpg", "b/a.txt",
     ".a.jpg", "__a__", "__a__.jpg", "b.jpg!x", "b.caption", "c.jpg.txt", "c.jpg", "中.jpg", "b", "x." * 40 + "jpg",
     "目录/" * 30 + "a.jpg"]
) | st.text("ab.#/!_", min_size=1, max_size=5).filter(lambda name: not name.endswith("/"))  # fmt: skip
MEMBERS = st.lists(st.tuples(NAMES, st.sampled_from(["jpg", "words", "json", "noise", "nothing"])), max_size=12)


@settings(max_examples=200, deadline=None)
@given(kinds=MEMBERS, container=st.sampled_from(["ustar", "pax", "gzip", "zip", "stored", "two"]))
def test_every_member_is_a_pair_or_belongs_to_one_or_is_passed_over(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[str, str]], container: str
) -> None:
    members = [(name, content(kind, number)) for number, (name, kind) in enumerate(kinds)]
    path = saved_as(tmp_path_factory.getbasetemp() / "law" / "0", packed(members, container))
    items, passed = everything(path)
    origins = [item.origin for item in items]
    assert len({*origins, *passed}) == len(origins) + len(set(passed))  # each origin once, and none passed over
    names = Counter(f"0/{name}" for name, _ in members)
    kept = names - Counter(name if name in names else name.rpartition("#")[0] for name in passed)
    assert sum(kept.values()) == len(members) - len(passed)
    assert {key(name) for name in kept} == {key(origin) for origin in origins}
    found = Counter(item.data for item in items if item.data is not None)
    assert found == Counter(data for name, data in members if kept[f"0/{name}"] and is_picture(name, data))
    captions = {caption for item in items for caption in item.captions}
    assert {data.decode() for name, data in members if kept[f"0/{name}"] and is_caption(name, data)} <= captions


def everything(path: Path) -> tuple[list[SourceItem], list[str]]:
    """The items of a source, and the names of what is passed over."""
    section = WebDatasetSource(name="s", kind="webdataset", path=str(path), encoding="utf-8")
    (part,) = list_source(section, locate(section, Path(), path)).parts
    found = list(read_part(part))
    items = [item for item in found if isinstance(item, SourceItem)]
    return items, [item.name for item in found if isinstance(item, PassedFile)]


def content(kind: str, number: int) -> bytes:
    """Different for each member."""
    return {
        "jpg": RED + bytes([number]), "words": text(f"第{number}只猫"),
        "json": json.dumps({"caption": str(number)}).encode(),
        "noise": bytes([254, number]), "nothing": b"",
    }[kind]  # fmt: skip


def packed(members: list[tuple[str, bytes]], container: str) -> bytes:
    if container == "two":  # tars behind one another
        return tar_bytes(members[::2]) + tar_bytes(members[1::2])
    if container in ("zip", "stored"):
        return zip_bytes(members, zipfile.ZIP_DEFLATED if container == "zip" else zipfile.ZIP_STORED)
    data = tar_bytes(members, tarfile.PAX_FORMAT if container == "pax" else tarfile.GNU_FORMAT)
    return gzip_bytes(data) if container == "gzip" else data


def ending(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2].rpartition(".")[2].lower()


def is_picture(name: str, data: bytes) -> bool:
    return ending(name) in ("jpg", "png") or (data.startswith(b"\xff\xd8\xff") and ending(name) not in TEXTS)


def is_caption(name: str, data: bytes) -> bool:
    return ending(name) == "txt" and data.startswith(text("第"))


def key(name: str) -> str:
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[0] if '.' in last else re.sub(r'(#[0-9]+)+$', '', last)}"
