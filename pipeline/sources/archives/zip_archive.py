"""The members of a zip, stored or compressed, with names as people read them.

    ZipArchive("/data/0.zip", ByteWindow(file)).members()       # Member("照片/猫.jpg", offset of its header, 20480)

Zips made on Chinese Windows have names in GBK, of which Python makes cp437. Names that are not flagged as UTF-8 are
told together (`encoding_of`), by this zip alone: it is read again by the same names. The list of members takes about
1 KB a member in memory.
"""

import binascii
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import IO, Any

from ....manifests.errors import BadInput
from ...tables.text_encoding import codec_of, encoding_of, is_private
from ..source import as_text
from .archive import BrokenMember, Member
from .byte_window import ByteWindow

CURE = "restore it, or take it out of the source"
_FLAG_ENCRYPTED, _FLAG_UTF8 = 0x1, 0x800
_NAME_ENCODINGS = ("utf-8", "gb18030", "big5")
_UNICODE_PATH = 0x7075  # an extra field of Info-ZIP: version, CRC of the name in the header, the name in UTF-8
_METHODS = {
    zipfile.ZIP_STORED: "", zipfile.ZIP_DEFLATED: "", zipfile.ZIP_BZIP2: "", zipfile.ZIP_LZMA: "",
    9: "Deflate64", 93: "zstd", 98: "PPMd",
}  # fmt: skip
# zipfile raises any of these on a directory or a member that is noise.
_NOISE = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, ArithmeticError, LookupError, EOFError, MemoryError,
    NotImplementedError, RuntimeError, lzma.LZMAError,
)  # fmt: skip


class ZipArchive:
    """Raises BadInput when the list of members, at the end of the file, is cut or damaged."""

    def __init__(self, shown: str, window: ByteWindow) -> None:
        self._window = window
        try:
            self._zip = zipfile.ZipFile(window)
        except _NOISE as error:
            raise BadInput(f"{shown}: not a whole zip ({' '.join(str(error).split())})", cure=CURE) from None

    def members(self) -> Iterator[Member]:
        """In the order of the list. Two zips behind one another have one list, of the second: the first is told."""
        first = min((info.header_offset for info in self._zip.infolist()), default=0)
        if first:
            yield Member(
                "bytes before the first member", self._window.start, first, "bytes that their zip does not list"
            )
        for info in self._zip.infolist():
            yield Member(self._name(info), self._window.start + info.header_offset, info.file_size, _passed(info))

    def read(self, offset: int, size: int) -> bytes:
        with self._open(offset) as file:
            return file.read(size)  # at the end the checksum is compared

    @contextmanager
    def open(self, member: Member) -> Iterator[IO[bytes]]:
        with self._open(member.offset) as file:
            yield file

    @contextmanager
    def _open(self, offset: int) -> Iterator[IO[bytes]]:
        info = self._by_offset.get(offset - self._window.start)
        if info is None:
            raise BrokenMember("there is no member at this offset")
        try:
            with self._zip.open(info) as file:
                yield file
        except (*_NOISE, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk's; bz2 raises one without a number
                raise
            raise BrokenMember(str(error)) from None

    def inside(self, member: Member) -> None:
        return None

    def segment(self, offset: int) -> int:
        return 0

    @cached_property
    def _by_offset(self) -> dict[int, zipfile.ZipInfo]:
        return {info.header_offset: info for info in self._zip.infolist()}

    @cached_property
    def _encoding(self) -> str | None:
        """The encoding of names that are not flagged: GB18030 where they are too few to tell, but are of it."""
        names = [raw for info in self._zip.infolist() if (raw := _unflagged(info)) is not None and not raw.isascii()]
        if (told := encoding_of(names)) in _NAME_ENCODINGS:
            return told
        texts = [raw.decode("gb18030", "replace") for raw in names]
        return None if any(map(is_private, texts)) else "gb18030"

    def _name(self, info: zipfile.ZipInfo) -> str:
        raw = _unflagged(info)
        if raw is None or raw.isascii():
            return as_text(info.orig_filename)
        if (name := _unicode_path(info, raw)) is not None:
            return name
        return as_text(raw.decode(codec_of(self._encoding or "utf-8"), "surrogateescape"))


def _passed(info: zipfile.ZipInfo) -> str | None:
    if info.orig_filename.endswith(("/", "\\")):  # Windows writes either
        return "folder"
    if info.flag_bits & _FLAG_ENCRYPTED:
        return "encrypted member"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "symbolic link"
    method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
    return f"member compressed with {method}" if method else None


def _unflagged(info: zipfile.ZipInfo) -> bytes | None:
    """The name as it lies in the zip; None when it is flagged as UTF-8, and decoded rightly."""
    return None if info.flag_bits & _FLAG_UTF8 else info.orig_filename.encode("cp437")


def _unicode_path(info: zipfile.ZipInfo, raw: bytes) -> str | None:
    """The name in UTF-8 that some programs write besides; it counts if it is of this very name."""
    extra: Any = info.extra
    while len(extra) >= 4:
        field, size = struct.unpack("<HH", extra[:4])
        if field == _UNICODE_PATH and extra[5:9] == struct.pack("<I", binascii.crc32(raw)):
            return as_text(extra[9 : 4 + size].decode("utf-8", "surrogateescape"))
        extra = extra[4 + size :]
    return None
