"""The pictures in one cell of a table: bytes, a struct of bytes and path, base64, a file's path; or a list of them.

    for number, data, problem in cell_pictures(cell, PictureFiles(root, table)): …
    cell_picture(cell, 1, files)        # the one with that number again

Numbers count the elements of a list, nulls included, so that a picture keeps its number. Text is the path of a file if
there is one of that name, else base64. Files are read below the source alone.
"""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...tables.arrow_rows import UNREADABLE
from ..source import MOST_BYTES, as_text, path_below
from .base64_text import from_base64

_MOST_PATH = 1024  # characters; what is longer is no path
_MOST_NAME = 255  # bytes of a file's name; file systems refuse longer ones
_MOST_ENDING = 5


class CellPicture(NamedTuple):
    number: int
    data: bytes | None
    problem: str | None  # None without data: the picture is missing


class PictureFiles:
    """The files that the cells of a table may name: relative to the table, or to the source."""

    def __init__(self, root: Path, table: Path) -> None:
        self.root = root if root.is_dir() else root.parent
        self._folders = list(dict.fromkeys([table.parent, self.root]))

    def find(self, text: str) -> Path | None:
        """The file that `text` names, if there is one below the source; `\\`, quotes and `./` do not matter."""
        name = text.strip().strip("\"'").replace("\\", "/")
        if not name or len(name) > _MOST_PATH or "\0" in name or "\n" in name:
            return None
        if any(len(part.encode("utf-8", "surrogatepass")) > _MOST_NAME for part in name.split("/")):
            return None
        paths = (path_below(self.root, each) for folder in self._folders for each in self._below(folder, name))
        return next((path for path in paths if path.is_file()), None)

    def _below(self, folder: Path, name: str) -> Iterator[str]:
        """`name` in that folder, relative to the source; then with its ending in the other case."""
        whole = posixpath.normpath((folder / name).as_posix())  # `..` must not lead out of the source
        if not Path(whole).is_relative_to(self.root):
            return
        relative = Path(whole).relative_to(self.root).as_posix()
        yield as_text(relative)
        stem, dot, ending = relative.rpartition(".")
        if dot and "/" not in ending:
            yield as_text(f"{stem}.{ending.upper() if ending.islower() else ending.lower()}")


def cell_pictures(cell: Any, files: PictureFiles) -> Iterator[CellPicture]:
    """Every picture of the cell; none if it holds nothing."""
    for number, value in enumerate(_flat(cell)):
        if not _is_nothing(value):
            yield CellPicture(number, *_picture(value, files))


def cell_picture(cell: Any, number: int, files: PictureFiles) -> bytes | None:
    values = list(_flat(cell))
    return _picture(values[number], files)[0] if number < len(values) else None


def _flat(cell: Any) -> Iterator[Any]:
    if isinstance(cell, list):
        for each in cell:
            yield from _flat(each)
    else:
        yield cell


def _is_nothing(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get("bytes") is None and not value.get("path")
    return value is None or (isinstance(value, str) and not value.strip())


def _picture(value: Any, files: PictureFiles) -> tuple[bytes | None, str | None]:
    if isinstance(value, dict):
        named = value.get("bytes") is None
        return _file(value.get("path"), files) if named else _picture(value["bytes"], files)
    if isinstance(value, bytes):
        return (value, None) if len(value) <= MOST_BYTES else (None, "file_too_large")
    if isinstance(value, str):
        return _text(value, files)
    return None, "broken_row" if value is UNREADABLE else "not_a_picture"


def _text(text: str, files: PictureFiles) -> tuple[bytes | None, str | None]:
    if files.find(text) is not None:
        return _file(text, files)
    if (data := from_base64(text)) is not None:
        return data, None
    return None, None if _looks_like_path(text) else "not_a_picture"


def _file(text: Any, files: PictureFiles) -> tuple[bytes | None, str | None]:
    path = files.find(text) if isinstance(text, str) else None
    if path is None:
        return None, None
    return (None, "file_too_large") if path.stat().st_size > MOST_BYTES else (path.read_bytes(), None)


def _looks_like_path(text: str) -> bool:
    ending = text.strip().rpartition(".")[2]
    return len(text) <= _MOST_PATH and "\n" not in text and "." in text and 0 < len(ending) <= _MOST_ENDING
