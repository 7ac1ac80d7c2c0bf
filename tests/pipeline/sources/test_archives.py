"""Archives as data teams hold them: every member is a pair, belongs to one, or is counted as passed over."""

import io
import json
import re
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.executor.part import PictureRoot
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.sources.archives.byte_window import ByteWindow
from tuwen.pipeline.sources.archives.list_archives import WebDatasetSource, list_source, locate
from tuwen.pipeline.sources.archives.tar_headers import tar_headers
from tuwen.pipeline.sources.passed_over import PassedFile
from tuwen.pipeline.sources.reader import read_part, read_picture
from tuwen.pipeline.sources.source import SourceItem

from ...conftest import write_recipe
from ...stages import build_corpus
from .archives import BLUE, GREEN, RED, gzip_bytes, saved_as, tar_bytes, zip_bytes
from .reading import Reading

TEXTS = ("txt", "json", "caption")


def reading(path: Path, **keys: Any) -> Reading:
    return Reading("webdataset", path, **keys)


def pictures(read: Reading) -> dict[str, tuple[bytes | None, list[str]]]:
    return {item.origin: (item.data, item.captions) for item in read.items}


def text(words: str) -> bytes:
    return words.encode()


# --- no member is lost ------------------------------------------------------------------------------


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


# --- containers, told by content --------------------------------------------------------------------

SAMPLES = [("a.jpg", RED), ("a.txt", text("红")), ("b.jpg", BLUE), ("b.txt", text("蓝"))]
TAR = tar_bytes(SAMPLES)
SECOND = 512 + -(-len(RED) // 512) * 512  # where its second header begins


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("0.TAR", TAR), ("0", TAR), ("TaiSu.tgz", gzip_bytes(TAR)), ("0.tar.gz", gzip_bytes(TAR)),
        ("sa_000020.tar", gzip_bytes(TAR)), ("0.zip", zip_bytes(SAMPLES)), ("0.tar", zip_bytes(SAMPLES, 0)),
    ],
)  # fmt: skip
def test_an_archive_is_what_it_holds_whatever_it_is_called(tmp_path: Path, name: str, data: bytes) -> None:
    read = reading(saved_as(tmp_path / "data" / name, data).parent)
    assert pictures(read) == {f"{name}/a.jpg": (RED, ["红"]), f"{name}/b.jpg": (BLUE, ["蓝"])}


def test_tars_behind_one_another_are_all_read_each_with_its_own_samples(tmp_path: Path) -> None:
    """As `cat 0.tar 1.tar` makes them: most tools see the first alone. The second has a picture without a text."""
    second = tar_bytes([("a.jpg", GREEN), ("c.jpg", RED), ("c.txt", text("三"))])
    read = reading(saved_as(tmp_path / "0.tar", TAR + second))
    assert pictures(read) == {
        "0.tar/a.jpg": (RED, ["红"]), "0.tar/b.jpg": (BLUE, ["蓝"]), "0.tar/a.jpg#2": (GREEN, []),
        "0.tar/c.jpg": (RED, ["三"]),
    }  # fmt: skip


def test_a_tar_of_pictures_behind_one_of_texts_is_one_set_of_samples(tmp_path: Path) -> None:
    read = reading(saved_as(tmp_path / "0.tar", tar_bytes(SAMPLES[::2]) + tar_bytes(SAMPLES[1::2])))
    assert pictures(read) == {"0.tar/a.jpg": (RED, ["红"]), "0.tar/b.jpg": (BLUE, ["蓝"])}


@pytest.mark.parametrize("outer", ["outer.tar", "outer.tgz"])
def test_tars_inside_of_a_tar_are_read_in_place(tmp_path: Path, outer: str) -> None:
    data = tar_bytes([("x/inner.tar", TAR), ("y", tar_bytes([("deep.tar", TAR)])), ("c.jpg", GREEN)])
    path = saved_as(tmp_path / outer, data if outer == "outer.tar" else gzip_bytes(data))
    read = reading(path)
    assert pictures(read) == {
        f"{outer}/{inner}/{name}": (picture, [caption])
        for inner in ("x/inner.tar", "y/deep.tar")
        for name, picture, caption in (("a.jpg", RED, "红"), ("b.jpg", BLUE, "蓝"))
    } | {f"{outer}/c.jpg": (GREEN, [])}
    if outer == "outer.tar":  # offsets are those in the file
        assert all(data[item.offset :].startswith(item.data or b"-") for item in read.items)


def test_what_must_be_unpacked_inside_of_an_archive_is_marked_in_the_origin(tmp_path: Path) -> None:
    inner = [("a.zip", zip_bytes(SAMPLES)), ("b.tgz", gzip_bytes(TAR)), ("b.tgz", gzip_bytes(tar_bytes(SAMPLES[:2])))]
    saved_as(tmp_path / "data" / "0.tar", tar_bytes(inner))
    saved_as(tmp_path / "data" / "1.zip", zip_bytes([("c.tar", TAR), ("d.zip", zip_bytes(SAMPLES[2:]))]))
    assert {item.origin: item.data for item in reading(tmp_path / "data").items} == {
        "0.tar/a.zip!/a.jpg": RED, "0.tar/a.zip!/b.jpg": BLUE, "0.tar/b.tgz!/a.jpg": RED, "0.tar/b.tgz!/b.jpg": BLUE,
        "0.tar/b.tgz#2!/a.jpg": RED, "1.zip/c.tar!/a.jpg": RED, "1.zip/c.tar!/b.jpg": BLUE, "1.zip/d.zip!/b.jpg": BLUE,
    }  # fmt: skip


def test_archives_are_unpacked_four_deep_as_some_hold_themselves(tmp_path: Path) -> None:
    data = zip_bytes(SAMPLES)
    for _ in range(5):
        data = zip_bytes([("z.zip", data)])
    read = reading(saved_as(tmp_path / "0.zip", data))
    assert not read.items
    assert read.passed["archive inside of too many others"]["count"] == 1


def test_documents_that_are_zips_and_gzips_of_other_things_are_no_archives(tmp_path: Path) -> None:
    saved_as(tmp_path / "data" / "0.tar", TAR)
    saved_as(tmp_path / "data" / "notes.docx", zip_bytes([("word/media/image1.jpg", RED)]))
    saved_as(tmp_path / "data" / "captions.tsv.gz", gzip_bytes(text("a.jpg\t红\n") * 100))
    read = reading(tmp_path / "data")
    assert len(read.items) == 2
    assert read.passed == {
        "*.docx": {"count": 1, "examples": ["notes.docx"]}, "*.gz": {"count": 1, "examples": ["captions.tsv.gz"]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.rar", b"Rar!\x1a\x07\1\0" + bytes(600), "a.rar is RAR, which is not read; unpack it, or pack it again"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(600), "a.7z is 7z, which is not read; unpack it"),
        ("00000.tfrecord", bytes([7, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), "--output_format webdataset"),
        ("a.docx", b"x", "no tar or zip below"),
        ("a.jpg", b"x", r"no tar or zip below .*; there are pictures \(a\.jpg\); write `kind: folder`"),
    ],
)
def test_a_source_of_other_archives_is_refused_with_what_to_do(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        reading(saved_as(tmp_path / "data" / name, data).parent)


def test_other_archives_beside_tars_are_counted_with_what_to_do(tmp_path: Path) -> None:
    inside = tar_bytes([*SAMPLES, ("more", b"Rar!\x1a\x07\1\0")])
    saved_as(tmp_path / "data" / "0.tar", inside)
    saved_as(tmp_path / "data" / "1.rar", b"Rar!\x1a\x07\1\0" + bytes(600))
    passed = reading(tmp_path / "data").passed
    assert passed == {
        "RAR (unpack it, or pack it again as zip or tar)": {"count": 2, "examples": ["1.rar", "0.tar/more"]}
    }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (TAR[:1500], r"0: damaged or cut short at byte 5"),
        (TAR[:SECOND] + b"x" + TAR[SECOND + 1 :], f"0: damaged or cut short at byte {SECOND}"),
        (TAR + b"x" * 512, rf"0: damaged or cut short at byte {len(TAR)}"),
        (TAR[: SECOND + 512], "0: damaged or cut short at byte"),
        (gzip_bytes(TAR)[:-400], "0: the gzip is cut or damaged"),
        (zip_bytes(SAMPLES)[:-30], "0: not a whole zip"),
        (tar_bytes([("i.tar", TAR[:1500])]), "0: damaged or cut short at byte"),
        (tar_bytes([("i.zip", zip_bytes(SAMPLES)[:-30])]), "0/i.zip: not a whole zip"),
    ],
)
def test_an_archive_that_is_not_whole_is_one_line_with_the_byte_and_the_cure(
    tmp_path: Path, data: bytes, words: str
) -> None:
    with pytest.raises(BadInput, match=words) as raised:
        reading(saved_as(tmp_path / "0", data))
    assert "restore it, or take it out of the source" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["1.tar", "1.TGZ", "1.tar.gz", "1.zip"])
@pytest.mark.parametrize("data", [b"", b"<html>404</html>", gzip_bytes(TAR)[:15]])
def test_what_is_called_an_archive_and_is_none_is_refused_and_never_a_shorter_corpus(
    tmp_path: Path, name: str, data: bytes
) -> None:
    saved_as(tmp_path / "0.tar", TAR)
    saved_as(tmp_path / name, data)
    with pytest.raises(BadInput, match=f"{name}: neither a tar nor a zip by its content; restore it"):
        reading(tmp_path)


def test_names_in_a_zip_from_chinese_windows_are_gbk(tmp_path: Path) -> None:
    data = zip_bytes([("ASCII/??.jpg", RED), ("ASCII/??.txt", text("猫"))], 0)
    data = data.replace(b"ASCII/??", "图/猫咪".encode("gbk") + b"1")
    read = reading(saved_as(tmp_path / "0.zip", data))
    assert pictures(read) == {"0.zip/图/猫咪1.jpg": (RED, ["猫"])}


def test_names_in_a_zip_that_are_noise_are_escaped(tmp_path: Path) -> None:
    data = zip_bytes([("AAAA", RED), ("BBBBB", BLUE), ("CCC", GREEN)], 0)
    for name, noise in ((b"AAAA", b"\x81\xff\0\xff"), (b"BBBBB", b"g\0\xff\xff\x81"), (b"CCC", b"\0\0\0")):
        data = data.replace(name, noise)
    read = reading(saved_as(tmp_path / "0.zip", data))
    assert [item.data for item in read.items] == [RED, BLUE, GREEN]


def test_members_of_a_zip_that_cannot_be_read_cost_no_other(tmp_path: Path) -> None:
    """One has a wrong checksum, one is encrypted, one is compressed by a method that is not read."""
    data = bytearray(zip_bytes([*SAMPLES, ("c.jpg", GREEN), ("d.jpg", GREEN)], 0))
    data[data.index(RED) + 9] ^= 1
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.start_dir
    for name, place, value in ((b"c.jpg", 8, 1), (b"d.jpg", 10, 9)):  # flags, method
        entry = data.index(name, start) - 46
        data[entry + place] = value
    read = reading(saved_as(tmp_path / "0.zip", bytes(data)))
    assert pictures(read) == {"0.zip/a.jpg": (None, ["红"]), "0.zip/b.jpg": (BLUE, ["蓝"])}
    assert read.problems == {"0.zip/a.jpg": "broken_row"}
    assert read.passed == {
        "encrypted member": {"count": 1, "examples": ["0.zip/c.jpg"]},
        "member compressed with Deflate64": {"count": 1, "examples": ["0.zip/d.jpg"]},
    }


def test_a_zip_behind_another_is_read_and_the_first_is_told(tmp_path: Path) -> None:
    read = reading(saved_as(tmp_path / "0.zip", zip_bytes(SAMPLES[:2]) + zip_bytes(SAMPLES[2:])))
    assert [item.origin for item in read.items] == ["0.zip/b.jpg"]
    assert list(read.passed) == ["bytes that their zip does not list"]


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_headers_are_those_that_tarfile_reads(tmp_path: Path, format_: int) -> None:
    long = "" if format_ == tarfile.USTAR_FORMAT else "目录/" * 40
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
        for name, size in (("a.jpg", 0), (f"{long}中.jpg", 700), ("d" * 90 + "/" + "n" * 90, 512), ("z", 1)):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = size, 1700000000.5 if format_ == tarfile.PAX_FORMAT else 7  # type: ignore[assignment]
            tar.addfile(info, io.BytesIO(bytes(size)))
    path = saved_as(tmp_path / "0.tar", buffer.getvalue())
    with tarfile.open(path) as tar, path.open("rb") as file:
        theirs = [(member.name, member.offset_data, member.size) for member in tar]
        assert [header[:3] for header in tar_headers(ByteWindow(file), 0)] == theirs


def test_a_picture_that_is_gone_since_is_said(tmp_path: Path) -> None:
    root = PictureRoot("tar", str(tmp_path))
    with pytest.raises(BadInput, match="gone since it was measured"):
        read_picture(root, "0.tar/a.jpg", 512, 10)
    saved_as(tmp_path / "0.zip", zip_bytes(SAMPLES))
    with pytest.raises(BadInput, match="run `tuwen corpus` again"):
        read_picture(root, "0.zip/a.jpg", 77, 10)


# --- texts ------------------------------------------------------------------------------------------


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


# --- data sets, as their makers ship them -----------------------------------------------------------


def test_the_recipe_names_the_fields_that_hold_captions(tmp_path: Path) -> None:
    row = {"caption": "alt", "recaption": "一段。\n\n两段。", "more": ["三", "四"]}
    members = [("a.jpg", RED), ("a.txt", text("alt")), ("a.json", json.dumps(row).encode())]
    path = saved_as(tmp_path / "0.tar", tar_bytes(members))
    assert reading(path, caption="recaption").captions == {"0.tar/a.jpg": ["一段。\n\n两段。"]}
    assert reading(path, caption=["recaption", "more"]).captions == {"0.tar/a.jpg": ["一段。\n\n两段。", "三", "四"]}


def test_a_field_that_no_json_has_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    path = saved_as(tmp_path / "0.tar", tar_bytes([("a.jpg", RED), ("a.json", b'{"caption": "x", "url": "y"}')]))
    with pytest.raises(BadInput, match=r"no \.json has a field `recaption`; they have caption, url"):
        reading(path, caption="recaption")


@pytest.mark.parametrize("container", ["zip", "tar"])
def test_cogdata_ships_pictures_and_a_dictionary_of_captions_by_stem(tmp_path: Path, container: str) -> None:
    data = [("000.jpg", RED), ("x/001.jpg", BLUE), ("002.jpg", GREEN)]
    saved_as(tmp_path / "data" / f"0.{container}", zip_bytes(data) if container == "zip" else tar_bytes(data))
    captions = {"000": "红色的圆", "001": ["蓝色的圆", "圆"], "999": "没有图"}
    saved_as(tmp_path / "data" / "captions.json", json.dumps(captions).encode())
    read = reading(tmp_path / "data", captions="captions.json")
    assert read.captions == {
        f"0.{container}/000.jpg": ["红色的圆"], f"0.{container}/x/001.jpg": ["蓝色的圆", "圆"],
        f"0.{container}/002.jpg": [], "999": ["没有图"],
    }  # fmt: skip
    assert read.missing == ["999"]
    assert not read.passed
    assert len(read.listing.parts) == 2
    assert read.listing.reads == ["captions.json: an object by name"]


def test_captions_may_stand_anywhere_and_name_members_of_several_archives(tmp_path: Path) -> None:
    """`a.jpg` is in both archives: only its path in an archive says which. They count instead of the .txt."""
    saved_as(tmp_path / "data" / "0.tar", tar_bytes([("a.jpg", RED), ("a.txt", b"\xff"), ("b.jpg", BLUE)]))
    saved_as(tmp_path / "data" / "1.tgz", gzip_bytes(tar_bytes([("a.jpg", GREEN), ("c.jpg", GREEN)])))
    rows = [{"file": "./B.JPG", "caption": "蓝"}, {"file": "a", "caption": "?"}]
    tables = [
        saved_as(tmp_path / "more" / "a.tsv", text("1.tgz/a.jpg\t绿\n0.tar/a.jpg\t红\n")),
        saved_as(tmp_path / "more" / "b.jsonl", b"\n".join(json.dumps(row).encode() for row in rows)),
    ]
    read = reading(tmp_path / "data", captions=[str(path) for path in tables], encoding="utf-8")
    assert read.captions == {
        "0.tar/a.jpg": ["红"], "0.tar/b.jpg": ["蓝"], "1.tgz/a.jpg": ["绿"], "1.tgz/c.jpg": [], "a": ["?"],
    }  # fmt: skip
    assert not read.problems


def test_captions_that_are_of_other_pictures_are_refused(tmp_path: Path) -> None:
    saved_as(tmp_path / "0.tar", tar_bytes([("a.jpg", RED)]))
    table = saved_as(tmp_path / "x.tsv", text("zzz.jpg\t红\n"))
    with pytest.raises(BadInput, match=r"the first names zzz.jpg, and the file with the nearest name is a\.jpg"):
        reading(tmp_path / "0.tar", captions=str(table))
    with pytest.raises(BadInput, match=r"y\.tsv does not exist; correct `captions`"):
        reading(tmp_path / "0.tar", captions="y.tsv")


def uid_file(path: Path, uids: list[str]) -> Path:
    pairs = sorted((int(uid[:16], 16), int(uid[16:], 16)) for uid in uids)
    np.save(path, np.array(pairs, np.dtype("u8,u8")))
    return path


def test_a_subset_file_of_datacomp_says_which_samples_count(tmp_path: Path) -> None:
    uids = [f"{number:032x}" for number in (7, 1 << 100, (1 << 128) - 1, 12345)]
    members = [
        (f"{n:012d}.{ending}", data) for n, uid in enumerate([*uids, None]) for ending, data in
        (("jpg", RED), ("txt", text(f"第{n}")), ("json", json.dumps({"uid": uid, "url": "http://e.org"}).encode()))
    ]  # fmt: skip
    saved_as(tmp_path / "shards" / "00000000.tar", tar_bytes(members, tarfile.PAX_FORMAT))
    uid_file(tmp_path / "shards" / "subset.npy", [uids[1], uids[2], f"{9:032x}"])
    read = reading(tmp_path / "shards", uids="subset.npy")
    assert read.captions == {
        "00000000.tar/000000000001.jpg": ["第1"], "00000000.tar/000000000002.jpg": ["第2"],
    }  # fmt: skip
    assert {kind: each["count"] for kind, each in read.passed.items()} == {
        "sample whose uid is not in `uids`": 2, "sample without a uid": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([(2, 0), (1, 0)], "u8,u8"), "not sorted"),
        (np.arange(4.0), "no uids as DataComp has them"),
        (np.arange(4, dtype=np.uint64), "no uids as DataComp has them"),
        (None, "no uids as DataComp has them"),
    ],
)
def test_a_subset_file_of_another_layout_is_refused(tmp_path: Path, array: Any, words: str) -> None:
    path = saved_as(tmp_path / "u.npy", b"x")
    if array is not None:
        np.save(path, array)
    with pytest.raises(BadInput, match=words):
        reading(saved_as(tmp_path / "0.tar", TAR), uids="u.npy")


def test_img2dataset_tars_are_read_with_their_failures(tmp_path: Path) -> None:
    """As `--output_format webdataset` writes them: pax headers, a .json of every sample, Parquet and JSON beside."""
    rows = [
        {"caption": "一个红色的圆", "url": "http://e.org/0.jpg", "key": "000000000", "status": "success", "width": 96},
        {"caption": "一个蓝色的圆", "url": "http://e.org/1.jpg", "key": "000000001", "status": "success", "width": 96},
    ]
    members = [
        (f"{row['key']}.{ending}", data) for row in rows for ending, data in
        (("jpg", RED), ("json", json.dumps(row, indent=4).encode()), ("txt", text(str(row["caption"]))))
    ]  # fmt: skip
    saved_as(tmp_path / "out" / "00000.tar", tar_bytes(members, tarfile.PAX_FORMAT))
    saved_as(tmp_path / "out" / "00000_stats.json", b"{}")
    saved_as(tmp_path / "out" / "00000.parquet", b"PAR1" + bytes(20))
    read = reading(tmp_path / "out")
    assert [(item.origin, item.captions, item.url) for item in read.items] == [
        ("00000.tar/000000000.jpg", ["一个红色的圆"], "http://e.org/0.jpg"),
        ("00000.tar/000000001.jpg", ["一个蓝色的圆"], "http://e.org/1.jpg"),
    ]  # fmt: skip
    assert set(read.passed) == {"*.json", "*.parquet"}


def test_sa_1b_ships_gzips_called_tar_with_pictures_and_json_of_masks(tmp_path: Path) -> None:
    masks = json.dumps({"image": {"image_id": 1, "width": 96}, "annotations": [{"bbox": [1, 2, 3, 4]}]}).encode()
    members = [("./sa_1.jpg", RED), ("./sa_1.json", masks), ("./sa_2.jpg", BLUE), ("./sa_2.json", masks)]
    saved_as(tmp_path / "sa_000000.tar", gzip_bytes(tar_bytes(members)))
    read = reading(tmp_path / "sa_000000.tar")
    assert pictures(read) == {"sa_000000.tar/./sa_1.jpg": (RED, []), "sa_000000.tar/./sa_2.jpg": (BLUE, [])}
    assert not read.problems


def test_taisu_ships_tgz_of_folders(tmp_path: Path) -> None:
    members = [
        (f"0/{n}.{ending}", data) for n in range(3) for ending, data in (("jpg", RED), ("txt", text(f"第{n}张")))
    ]
    saved_as(tmp_path / "taisu" / "0.tgz", gzip_bytes(tar_bytes(members, tarfile.GNU_FORMAT)))
    assert reading(tmp_path / "taisu").captions == {f"0.tgz/0/{n}.jpg": [f"第{n}张"] for n in range(3)}


def test_captions_outside_and_a_subset_go_through_the_corpus(tmp_path: Path) -> None:
    uids = [f"{number:032x}" for number in range(3)]
    members = [member for n, uid in enumerate(uids) for member in
               ((f"{n}.jpg", (RED, BLUE, GREEN)[n]), (f"{n}.json", json.dumps({"uid": uid}).encode()))]  # fmt: skip
    saved_as(tmp_path / "data" / "0.tgz", gzip_bytes(tar_bytes(members)))
    saved_as(tmp_path / "data" / "c.json", json.dumps({"0": "红色的圆", "1": "蓝色的圆", "7": "没有"}).encode())
    uid_file(tmp_path / "data" / "u.npy", uids[1:])
    sources = "[{name: t, kind: webdataset, path: data, captions: c.json, uids: u.npy}]"
    recipe = load_recipe(str(write_recipe(tmp_path, sources=sources, images="{min_side: 16}")))
    corpus = build_corpus(recipe, tmp_path / "corpus")
    rows = {row["origin"]: (row["caption_raw"], row["reason"]) for row in read_verdicts(corpus).to_pylist()}
    assert rows == {
        "0.tgz/1.jpg": ("蓝色的圆", ""), "0.tgz/2.jpg": (None, "no_caption"), "7": ("没有", "missing_picture"),
    }  # fmt: skip
    facts = corpus.document["lineage"]["sources"]["t"]
    assert facts["reads"] == ["c.json: an object by name"]
    assert facts["passed_over"]["sample whose uid is not in `uids`"]["count"] == 1
