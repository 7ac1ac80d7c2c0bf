"""What every kind of source shares: where it lies, what one of its items is, and names that are not UTF-8.

OpenSource("photos", PictureRoot("folder", "data/photos"), "CC0-1.0", "")
SourceItem("2021/cat.jpg", ["一只猫"], data)
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from ...manifests.errors import BadInput
from ..executor.part import Part, PictureRoot

PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "svg", "heic", "jfif"})

MOST_BYTES = 256 * 1024**2  # of one picture's file: no picture needs more, and all of it is in memory at once


class SourcePart(TypedDict):
    """What the parts of every kind say; a kind adds what it reads: a tar, a row group, some files."""

    source: str
    reader: str  # the module of this room that reads the part
    license: str


@dataclass(frozen=True)
class OpenSource:
    """A source whose pictures lie on disk: where the user has them, or gathered into tars."""

    name: str
    root: PictureRoot
    license: str
    attribution: str

    @property
    def path(self) -> Path:
        return Path(self.root.path)


@dataclass(frozen=True)
class SourceItem:
    """A picture with its captions, as it stands in a source."""

    origin: str  # where it stands: "2021/cat.jpg", "00000.tar/000123.jpg"
    captions: list[str]
    data: bytes | None = None  # None: there is a caption but no picture
    offset: int = 0
    url: str | None = None
    license: str | None = None  # where each picture has one of its own
    problem: str | None = None  # why there is no picture; None: it is just missing
    key_origin: str | None = None  # what the key is made of, where that is not the origin


def part_of(source: OpenSource, begins: str, spec: Mapping[str, Any]) -> Part[Any]:
    """A part that is named by what it begins with, not by a count: what is added to a source renames nothing else."""
    reader = source.root.reader
    shared = SourcePart(source=source.name, reader=reader, license=source.license)
    return Part(
        f"{source.name}-{hash64(begins):016x}",
        {**shared, **spec},
        roots={source.name: source.root},
        modules=(f"pipeline/sources/{reader}.py",),
    )


def files_below(source: OpenSource, ending: str) -> list[tuple[Path, str]]:
    """Every file of that ending, or the one that the source is, with its name below the root.

    Raises BadInput when there is none. macOS leaves `._x.tar` beside `x.tar`, which is no tar.
    """
    root = source.path
    files = [root] if root.is_file() else sorted(root.rglob(f"*{ending}"))
    files = [file for file in files if file.is_file() and not file.name.startswith("._")]
    if not files:
        raise BadInput(
            f"source {source.name}: no {ending} below {root}", cure=f"name a folder with {ending} files, or one"
        )
    return [(file, as_text(file.name if file == root else file.relative_to(root).as_posix())) for file in files]


def root_of(part: Part[Any]) -> Path:
    return Path(part.roots[part.spec["source"]].path)


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
