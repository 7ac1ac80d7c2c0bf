"""What every kind of source shares: the open source, its listing, its items, and file names that are not UTF-8.

OpenSource("photos", PictureRoot("folder", "/data/photos"), "CC0-1.0", "")
SourceItem("2021/cat.jpg", ["一只猫"], data)
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ...manifests.errors import BadInput
from ..executor.part import Part, PictureRoot
from .passed_over import PassedFile, PassedOver, pass_over
from .readers import reader_path

if TYPE_CHECKING:  # a stage's fingerprint must not hold the recipe
    from ...manifests.recipe.sources import FileSource

PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "svg", "heic", "jfif"})

MOST_BYTES = 256 * 1024**2  # of one picture's file: no picture needs more, and all of it is in memory at once


class SourcePart(TypedDict):
    """The spec of a part of any kind. A kind adds what it reads: a tar, a row group, some files."""

    source: str
    reader: str  # see PictureRoot.reader
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
class SourceListing:
    """What a source holds: its parts, what is passed over, and what was told of its files."""

    parts: list[Part[Any]]
    passed_over: PassedOver = field(default_factory=dict)
    encoding: str | None = None  # of its text; None: it has no text, or each file says its own
    reads: list[str] = field(default_factory=list)  # what was taken, for people: "captions.jsonl: image_path, text"


@dataclass(frozen=True)
class SourceItem:
    """A picture with its captions."""

    origin: str  # its name in the source: "2021/cat.jpg", "00000.tar/000123.jpg"
    captions: list[str]
    data: bytes | None = None  # None: there is a caption but no picture
    offset: int = 0  # where its bytes begin in the file that holds it; of Parquet the row
    url: str | None = None
    license: str | None = None  # None: the source's
    problem: str | None = None  # why there is no pair, such as broken_row; None without a picture: it is just missing
    key_origin: str | None = None  # what the pair's key is made of, where that is not the origin


def file_source(section: "FileSource", reader: str, path: Path) -> OpenSource:
    """The source whose pictures lie at `path`. The path is absolute: workers may run in another folder."""
    return OpenSource(section.name, PictureRoot(reader, str(path.absolute())), section.license, section.attribution)


def source_part(source: OpenSource, first: str, spec: Mapping[str, Any]) -> Part[Any]:
    """A part that is named by its first item and not by a count: a new file in a source renames no other part."""
    reader = source.root.reader
    shared = SourcePart(source=source.name, reader=reader, license=source.license)
    return Part(
        f"{source.name}-{hash64(first):016x}",
        {**shared, **spec},
        roots={source.name: source.root},
        modules=(reader_path(reader),),
    )


def files_below(source: OpenSource, passed: PassedOver) -> Iterator[tuple[Path, str]]:
    """Every file below the root, or the one file that the source is, in order of their names; each with its name.

    Links are followed, to folders too. Hidden files, broken links and what is no file are passed over. Raises BadInput
    on a root that is a device or a pipe.
    """
    root = source.path
    if root.is_file():
        yield root, name_below(root, root)
        return
    if root.exists() and not root.is_dir():
        raise BadInput(f"{root} is neither a folder nor a file", cure="name the folder that holds the files, or one")
    found = sorted(((name_below(root, path), path) for path in _walk(root, ())), key=lambda item: item[0].split("/"))
    for name, path in found:
        if any(part.startswith(".") for part in name.split("/")):
            pass_over(passed, PassedFile("hidden", name))
        elif path.is_file():
            yield path, name
        else:
            kind = "link to a folder above" if path.is_dir() else "broken link" if path.is_symlink() else "no file"
            pass_over(passed, PassedFile(kind, name))


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Every entry below `folder` that is no folder. A link to a folder above it is one, so that no walk is endless."""
    real = folder.resolve()
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir() and path.resolve() not in (*above, real):
                yield from _walk(path, (*above, real))
            else:
                yield path


def name_below(root: Path, file: Path) -> str:
    """The name of a file below `root`, as UTF-8; of `root` itself its own name."""
    return as_text(file.name if file == root else file.relative_to(root).as_posix())


def path_below(root: Path, name: str) -> Path:
    """The path that `name_below` names: escaped bytes are put back when there is no file of that very name."""
    if root.is_file():
        return root
    path = root / name
    if path.is_file() or "\\x" not in name:
        return path
    return root / re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(0xDC00 + int(match[1], 16)), name)


def as_text(name: str) -> str:
    """A file name as UTF-8. Bytes that are none (GBK, from a zip made on Windows) are escaped: `\\xd6\\xd0.jpg`."""
    whole = re.sub("[\ud800-\udc7f\udd00-\udfff]", "?", name)  # half a surrogate pair, which only JSON can hold
    return whole.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def file_and_rest(root: Path, origin: str) -> tuple[Path, str]:
    """The file that holds the picture `origin`, and the rest of the origin: the name of a member; "" if it has none.

    `a.tar` in `a.tar/b.tar/c.jpg` may be a file or a folder: the first of them that is a file holds the picture.
    Raises FileNotFoundError when there is none.
    """
    if root.is_file():
        return root, origin.partition("/")[2]
    parts = origin.split("/")
    for count in range(1, len(parts) + 1):
        path = path_below(root, "/".join(parts[:count]))
        if path.is_file():
            return path, "/".join(parts[count:])
    raise FileNotFoundError(2, "no such file", str(root / origin))


def root_path(part: Part[Any]) -> Path:
    return Path(part.roots[part.spec["source"]].path)


def hash64(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
