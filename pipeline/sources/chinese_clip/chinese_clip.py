"""Reads pictures with captions as Chinese-CLIP holds them: lines of a TSV, or the values of an LMDB, in base64.

    train_imgs.tsv/1076345      lmdb/train/imgs/1076345      # origins: the file or folder, and the picture's id

`list_chinese_clip` finds the captions of each. In a TSV a picture is found by the offset of its line, in an LMDB by its
id.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from ...executor.part import Part, PictureRoot
from ..source import SourceItem, SourcePart, path_below, root_path
from ..tables.base64_text import from_base64
from .base64_lines import picture_at
from .picture_lmdb import DATA_FILE, picture_text


class ClipItem(TypedDict):
    origin: str
    captions: list[str]
    offset: int | None  # of the line; of an LMDB 0; None: there is no picture
    problem: str | None


class ClipPart(SourcePart):
    pictures: str  # the TSV or the LMDB's folder, below the root
    bytes: int  # of the TSV, or of the LMDB's file; 0 where there is none
    mtime_ns: int
    items: list[ClipItem]


def read_part(part: Part[ClipPart]) -> Iterator[SourceItem]:
    spec, root = part.spec, root_path(part)
    for item in spec["items"]:
        text = None if item["offset"] is None else _text(root, spec["pictures"], item["origin"], item["offset"])
        data, problem = (None, item["problem"]) if not text else (from_base64(text), item["problem"])
        if item["offset"] is not None and text is None:
            problem = problem or "file_too_large"
        elif text and data is None:
            problem = problem or "not_a_picture"
        yield SourceItem(item["origin"], item["captions"], data, item["offset"] or 0, problem=problem)


def read_picture(root: PictureRoot, origin: str, offset: int, num_bytes: int) -> bytes:
    text = _text(Path(root.path), _pictures(Path(root.path), origin), origin, offset)
    return from_base64(text or b"") or b""


def _text(root: Path, pictures: str, origin: str, offset: int) -> bytes | None:
    path = path_below(root, pictures)
    if path.is_dir():
        return picture_text(path, origin.removeprefix(f"{pictures}/"))
    with path.open("rb") as file:
        return picture_at(file, offset)


def _pictures(root: Path, origin: str) -> str:
    """The TSV or the LMDB's folder in which `origin` lies: an id may hold a `/`, too. Raises FileNotFoundError."""
    parts = origin.split("/")
    for count in range(1, len(parts)):
        name = "/".join(parts[:count])
        path = path_below(root, name)
        if (path / DATA_FILE).is_file() or path.is_file():
            return name
    raise FileNotFoundError(2, "no such file", str(root / origin))
