"""A table file as text, read piece by piece: gzip undone, and decoded by the source's encoding.

    with open_text(Path("wukong.csv.gz"), "gb18030") as text: …        # its lines end at line feeds

A byte that is not of the encoding becomes a surrogate: its row is broken, and the others are kept. What is called .gz
and is none is read as the text that it is: browsers unpack a gzip and keep its name.
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
from .container_format import container_format, other_archive
from .text_encoding import ENCODINGS, SAMPLE_BYTES, codec_of, encoding_of, encoding_of_mark, mark_of

_MARKED = {"utf-8": "utf-8-sig", "utf-16-le": "utf-16", "utf-16-be": "utf-16"}  # the codecs that take a mark off
_CHUNK_BYTES = 1 << 16


@contextmanager
def open_text(path: Path, encoding: str | None = None) -> Iterator[IO[str]]:
    """`encoding` is one of ENCODINGS; None: that of this file alone. A byte-order mark overrides it."""
    with _binary(path) as file:
        head = _head(file)
        mark = mark_of(head)
        codec = _MARKED[encoding_of_mark(mark)] if mark else codec_of(encoding or text_encoding(path, head))
        file.seek(0)
        text = io.TextIOWrapper(file, encoding=codec, errors=_errors(codec), newline=_line_end(head, codec))
        text._CHUNK_SIZE = _CHUNK_BYTES  # type: ignore[attr-defined]  # 8 KiB by default, which costs 4% of a CSV
        yield text


def text_head(path: Path, limit: int = SAMPLE_BYTES) -> bytes:
    """The first MiB of a text file, gzip undone: a sample for `encoding_of`."""
    with _binary(path) as file:
        return _head(file, limit)


def _refuse_archives(path: Path) -> None:
    format_ = other_archive(path) or container_format(path)
    if format_ in (None, "gzip"):
        return
    cure = "unpack it" if format_ != "zip" else "unpack it; of an Excel workbook save the sheet as CSV"
    raise BadInput(f"{path}: {format_}, and not text as its name says", cure=cure)


def text_encoding(path: Path, head: bytes) -> str:
    """The encoding of one file. Raises BadInput when it is not clear."""
    encoding = encoding_of([head])
    if encoding is None:
        raise BadInput(f"{path}: its encoding is not clear", cure=f"name it with `encoding:`, {', '.join(ENCODINGS)}")
    return encoding


def not_whole(path: Path, line: int, error: object) -> BadInput:
    message = " ".join(str(error).split())[:200]
    return BadInput(
        f"{path}: broken at line {line} ({message})", cure="get the file again, or take it out of the source"
    )


def is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _binary(path: Path) -> io.BufferedReader:
    _refuse_archives(path)
    return cast(io.BufferedReader, gzip.open(path, "rb") if is_gzip(path) else path.open("rb", buffering=1 << 20))


def _errors(codec: str) -> str:
    """`surrogateescape` has no surrogate for half a character of UTF-16."""
    return "tuwen.undecoded" if codec.startswith("utf-16") else "surrogateescape"


codecs.register_error("tuwen.undecoded", lambda error: ("\udc80", error.end))  # type: ignore[attr-defined]


def _line_end(head: bytes, codec: str) -> str:
    """A line feed; a carriage return in a file that has those alone, as the old Macintosh wrote them."""
    start = head.decode(codec, "replace")
    return "\r" if "\r" in start and "\n" not in start else "\n"


def _head(file: io.BufferedReader, limit: int = SAMPLE_BYTES) -> bytes:
    """At least the first `limit` bytes. A gzip that is cut ends them early; the error comes when the rows are read."""
    head = b""
    try:
        while len(head) < limit and (piece := file.read1(1 << 16)):
            head += piece
    except (EOFError, OSError, zlib.error):
        pass
    return head
