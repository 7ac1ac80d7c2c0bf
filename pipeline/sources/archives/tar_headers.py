"""The headers of a tar one after the other: the usual ones are read here, three times as fast, all others by tarfile.

    for header in tar_headers(window, start=0): …       # TarHeader("000123.jpg", offset=1536, size=20480)

Usual are the files, folders, links and devices of USTAR, GNU tar and pax, with a long name or a pax header of their
own, as tar, tarfile, webdataset and img2dataset write them. At the first of any other kind (sparse files, headers for
all members, sizes above 8 GiB) tarfile takes over, until the end of the tar.
"""

import re
import tarfile
import zlib
from collections.abc import Generator
from typing import NamedTuple

from .byte_window import ByteWindow

BLOCK = tarfile.BLOCKSIZE
_FILES = frozenset(b"0\0")
_OTHERS = {ord("5"): "folder", ord("1"): "hard link", ord("2"): "symbolic link", **dict.fromkeys(b"346", "device")}
_SPACES = 8 * ord(" ")  # the checksum is that of a header whose own field is blank
_ADLER = 65521
_PAX_RECORD = re.compile(rb"(\d{1,9}) ([^=]+)=")
_PAX_HARMLESS = frozenset({b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname", b"comment"})
_PAX_VENDORS = (b"LIBARCHIVE.", b"SCHILY.")  # times, attributes and flags
_MOST_EXTRA_BYTES = 1 << 16  # of a pax header or a long name


class TarHeader(NamedTuple):
    name: str  # bytes that are not UTF-8 are surrogates
    offset: int  # of the bytes of the file
    size: int
    passed: str | None  # the kind of a member that holds no bytes of its own


def tar_headers(window: ByteWindow, start: int) -> Generator[TarHeader, None, int]:
    """Yield the headers, and return where they end: at zeros, or at damage. Raises what tarfile raises."""
    offset = start
    while (header := _usual(window, offset)) is not None:
        yield header
        offset = header.offset + -(-header.size // BLOCK) * BLOCK
    return (yield from _by_tarfile(window, offset))


def _usual(window: ByteWindow, offset: int) -> TarHeader | None:
    data = window.read_at(offset, 3 * BLOCK)
    block, kind, changes = data[:BLOCK], data[156:157], {}
    if kind in (b"x", b"L"):
        num_bytes = _octal(block[124:136])
        if num_bytes is None or num_bytes > _MOST_EXTRA_BYTES or not _is_checked(block):
            return None
        extra = -(-num_bytes // BLOCK) * BLOCK
        if extra > BLOCK:
            data = window.read_at(offset, 2 * BLOCK + extra)
        value = data[BLOCK : BLOCK + num_bytes]
        found = _pax(value) if kind == b"x" else {b"path": value.partition(b"\0")[0]}
        if found is None:
            return None
        changes, offset = found, offset + BLOCK + extra
        block = data[BLOCK + extra : 2 * BLOCK + extra]
    return _header(block, changes, offset + BLOCK)


def _header(block: bytes, changes: dict[bytes, bytes], offset: int) -> TarHeader | None:
    if len(block) < BLOCK or not _is_checked(block):
        return None
    name = changes.get(b"path") or _name(block)
    passed = _OTHERS.get(block[156])
    if passed:
        return TarHeader(name.rstrip(b"/").decode("utf-8", "surrogateescape"), offset, 0, passed)
    size = _octal(block[124:136])
    if block[156] not in _FILES or size is None or name.endswith(b"/"):  # a folder, in the oldest format
        return None
    return TarHeader(name.decode("utf-8", "surrogateescape"), offset, size, None)


def _name(block: bytes) -> bytes:
    name, prefix = block[:100].partition(b"\0")[0], block[345:500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix else name


def _is_checked(block: bytes) -> bool:
    """Adler-32 sums bytes modulo 65521 at the speed of C."""
    stored = _octal(block[148:156])
    if stored is None:
        return False
    low = zlib.adler32(block) & 0xFFFF  # 1 + the sum
    return (low - 1 - sum(block[148:156]) + _SPACES - stored) % _ADLER == 0


def _octal(field: bytes) -> int | None:
    digits = field.partition(b"\0")[0].strip()
    try:
        return int(digits, 8) if digits.isdigit() else None
    except ValueError:
        return None


def _pax(records: bytes) -> dict[bytes, bytes] | None:
    """The path in a pax header, if it is there; None when the header says anything else that matters."""
    changes: dict[bytes, bytes] = {}
    position = 0
    while position < len(records):
        match = _PAX_RECORD.match(records, position)
        if match is None:
            return None
        end = position + int(match[1])
        if end > len(records) or records[end - 1 : end] != b"\n":
            return None
        if match[2] == b"path":
            changes[b"path"] = records[match.end() : end - 1].rstrip(b"/")
        elif match[2] not in _PAX_HARMLESS and not match[2].startswith(_PAX_VENDORS):
            return None
        position = end
    return changes


def _by_tarfile(window: ByteWindow, start: int) -> Generator[TarHeader, None, int]:
    window.seek(start)
    tar = tarfile.TarFile(fileobj=window, encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
        yield TarHeader(member.name, member.offset_data, member.size, _passed(member))
    return int(tar.offset)


def _passed(member: tarfile.TarInfo) -> str | None:
    """The holes of a sparse file are not in the tar: its bytes are not those of the file."""
    if member.isreg():
        return "sparse file" if member.issparse() else None
    kinds = {tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "symbolic link", tarfile.LNKTYPE: "hard link"}
    return kinds.get(member.type, "device" if member.isdev() else "unknown type of member")
