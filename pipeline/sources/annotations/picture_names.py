"""Which picture a name in an annotation means. Names are matched as people write them.

    names = PictureNames(["2021/cat.jpg", "2021/dog.JPG"], root=Path("/data/photos"))
    names.match('"2021\\\\cat.jpg"')        # "2021/cat.jpg": quotes and backslashes
    names.match("/data/photos/2021/dog.jpg")   # "2021/dog.JPG": an absolute path below the source, another case
    names.match("cat")                     # "2021/cat.jpg": the only one with that stem

A relative path is tried first, then the name alone, then the stem, each only where it is unique. A picture that is
missing has the name as it is written, never a path of this machine.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ...tables.text_encoding import decoded
from ..source import as_text


class PictureNames:
    def __init__(self, pictures: Iterable[str], root: Path, encoding: str = "utf-8") -> None:
        """`encoding` is that of the annotations: a file name in GBK is escaped in an origin, and readable in a list."""
        self._pictures = list(pictures)
        self._whole = set(self._pictures)
        self._roots = sorted({f"{root.absolute().as_posix()}/", f"{root.resolve().as_posix()}/"})
        readable = [(PurePosixPath(_readable(picture, encoding).lower()), picture) for picture in self._pictures]
        self._by_path = _unique((path.as_posix(), picture) for path, picture in readable)
        self._by_name = _unique((path.name, picture) for path, picture in readable)
        self._by_stem = _unique((path.stem, picture) for path, picture in readable)
        self.first_missing: str | None = None
        self.num_matched = self.num_missing = 0

    def match(self, written: str, folder: str = "") -> str:
        """The origin of the picture; the name as it is written, made relative, if there is no such picture.

        `folder` is that of the annotation file, below the source: names are relative to it, or to the source.
        """
        name = self.relative(written)
        found = self._found(as_text(written.strip()), folder) or self._found(name, folder)
        if found is None:
            self.first_missing = self.first_missing or written
            self.num_missing += 1
            return name
        self.num_matched += 1
        return found

    def relative(self, written: str) -> str:
        """The name without quotes, backslashes, `./` and the source's own path."""
        name = as_text(written.strip())
        if "\\x" not in name:  # as_text escapes bytes so
            name = name.strip("\"'").replace("\\", "/")
        below = next((name.removeprefix(root) for root in self._roots if name.startswith(root)), None)
        if below is not None:
            return PurePosixPath(below).as_posix()
        path = PurePosixPath(name)
        outside = path.is_absolute() or (len(name) > 2 and name[1:3] == ":/")
        return path.name if outside else path.as_posix()

    def nearest(self, written: str) -> str | None:
        """The picture whose name is most like this one, for error messages."""
        close = difflib.get_close_matches(self.relative(written), self._pictures[:5000], n=1, cutoff=0.0)
        return close[0] if close else None

    def _found(self, name: str, folder: str) -> str | None:
        beside = f"{folder}/{name}" if folder else name
        path = PurePosixPath(name)
        for candidate in (beside, name):
            if candidate in self._whole:
                return candidate
        for table, key in (
            (self._by_path, beside),
            (self._by_path, name),
            (self._by_name, path.name),
            (self._by_stem, path.name),
            (self._by_stem, path.stem),
        ):
            if found := table.get(key.lower()):
                return found
        return None


def _readable(picture: str, encoding: str) -> str:
    """The name with escaped bytes decoded, where they are of the encoding."""
    if "\\x" not in picture:
        return picture
    data = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), picture.encode())
    return decoded(data, encoding) or picture


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The entries whose key occurs once."""
    table: dict[str, str] = {}
    twice: set[str] = set()
    for key, picture in pairs:
        if table.setdefault(key, picture) != picture:
            twice.add(key)
    return {key: picture for key, picture in table.items() if key not in twice}
