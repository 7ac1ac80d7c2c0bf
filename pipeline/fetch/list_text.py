"""A list file as text, read piece by piece: gzip undone, UTF-8 (with or without a mark) or GB18030.

    with open_list(Path("wukong.csv.gz")) as text: …        # a text stream; lines end as they end in the file

A byte that is not UTF-8, in a file that otherwise is, becomes a surrogate: its row is refused, and the others are kept.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from ...manifests.errors import BadInput

_SNIFFED_BYTES = 1 << 20
_MAX_BROKEN_SHARE = 0.01  # of the characters that are not ASCII; in a text of another encoding nearly all are broken


@contextmanager
def open_list(path: Path) -> Iterator[IO[str]]:
    with _binary(path) as file:
        encoding = _encoding(path, _head(file))
        file.seek(0)
        yield io.TextIOWrapper(file, encoding=encoding, errors="surrogateescape", newline="")


def not_whole(path: Path, line: int, error: object) -> BadInput:
    message = " ".join(str(error).split())[:200]
    return BadInput(
        f"{path}: broken at line {line} ({message})", cure="get the file again, or take it out of the source"
    )


def is_broken(text: str) -> bool:
    """Whether the text holds a byte that could not be decoded."""
    return any("\udc80" <= character <= "\udcff" for character in text)


def _binary(path: Path) -> io.BufferedReader:
    if path.suffix == ".gz":
        return cast(io.BufferedReader, gzip.open(path, "rb"))
    return cast(io.BufferedReader, path.open("rb", buffering=1 << 20))


def _head(file: io.BufferedReader) -> bytes:
    """The first MiB. A gzip that is cut ends it early; the error is raised when the rows are read."""
    head = b""
    try:
        while len(head) < _SNIFFED_BYTES and (piece := file.read1(1 << 16)):
            head += piece
    except (EOFError, OSError, zlib.error):
        pass
    return head


def _encoding(path: Path, head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise BadInput(f"{path}: not text (line {_line(head, head.index(0))})", cure="its ending must say what it is")
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(head)
    broken = sum("\udc80" <= character <= "\udcff" for character in text)
    if broken <= _MAX_BROKEN_SHARE * (len(head) - sum(character < "\x80" for character in text)):
        return "utf-8-sig"
    try:
        codecs.getincrementaldecoder("gb18030")().decode(head)
        return "gb18030"
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path}: neither UTF-8 nor GB18030 (line {_line(head, error.start)})", cure="convert it to UTF-8"
        ) from None


def _line(head: bytes, offset: int) -> int:
    return head.count(b"\n", 0, offset) + 1
