"""What every kind of source shares: where it lies, what is found in it, and names that are not UTF-8.

OpenSource("photos", "folder", Path("data/photos"), "CC0-1.0", "")
SourceItem("2021/cat.jpg", ["一只猫"], data)
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..executor.part import Part

PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "svg", "heic", "jfif"})


MOST_BYTES = 256 * 1024**2  # of one picture's file: no picture needs more, and all of it is in memory at once


@dataclass(frozen=True)
class OpenSource:
    """A source whose pictures lie on disk: a folder's own, or what was gathered into tars."""

    name: str
    kind: str  # folder | webdataset | parquet | fetched
    root: Path
    license: str
    attribution: str
    columns: dict[str, str | None] | None = None  # of Parquet: `image` and `caption`, None where they are to be guessed
    captions: str | None = None  # of a folder: one more caption file


@dataclass(frozen=True)
class SourceItem:
    """A picture with its captions, as it stands in a source."""

    origin: str
    captions: list[str]
    data: bytes | None = None  # None: there is a caption but no picture
    offset: int = 0
    url: str | None = None
    license: str | None = None  # where each picture has one of its own
    problem: str | None = None  # why there is no picture; None: it is just missing
    place: str | None = None  # what the key is made of, where that is not the origin


def part_of(source: OpenSource, begins: str, identity: dict[str, Any], **place: str) -> Part:
    """Named by what it begins with, not by a count: what is added to a source renames nothing else."""
    about = {"source": source.name, "kind": source.kind, "license": source.license}
    name = f"{source.name}-{hash64(begins):016x}"
    return Part(name, {**about, **identity}, {"root": str(source.root), **place})


def hash64(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def as_text(name: str) -> str:
    """A file name that is not UTF-8 (GBK, from a zip made on Windows) has its bytes written out: `\\xd6\\xd0.jpg`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def on_disk(root: Path, origin: str) -> Path:
    """The path of an origin, written-out bytes put back when there is no file of that very name."""
    path = root / origin
    if path.is_file() or "\\x" not in origin:
        return path
    return root / re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(0xDC00 + int(found[1], 16)), origin)


def whole_text(text: str) -> str:
    """JSON may hold half a surrogate pair, which no file can."""
    return text.encode("utf-8", "replace").decode()
