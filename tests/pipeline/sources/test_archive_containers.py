"""Containers of pictures are told by content: tars, gzips and zips, one behind and one inside of another."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.executor.part import PictureRoot
from tuwen.pipeline.sources.archives.byte_window import ByteWindow
from tuwen.pipeline.sources.archives.tar_headers import tar_headers
from tuwen.pipeline.sources.reader import read_picture

from .archives import (
    BLUE,
    GREEN,
    RED,
    SAMPLES,
    TAR,
    gzip_bytes,
    pictures,
    reading,
    saved_as,
    tar_bytes,
    text,
    zip_bytes,
)

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
