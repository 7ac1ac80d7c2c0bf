"""The text that lies beside pictures in a folder: `a.txt`, `a.caption`, `a.json`, `a.jpg.txt` for `a.jpg`, in any case.

beside = TextBeside({"a.txt": path}, fields=())
beside.text("a.jpg")      # (b"\\xe4\\xb8…", None): the lines, the JSON document
beside.used               # {"a.txt"}
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ...tables.text_encoding import SAMPLE_BYTES
from ..annotations.sidecar import SIDECAR_BYTES

LINES, OBJECTS = ("txt", "caption"), ("json",)  # endings
_HEAD_BYTES = 4096


class TextBeside:
    def __init__(self, others: Mapping[str, Path], fields: tuple[str, ...]) -> None:
        """`fields` are the keys of JSON that hold captions; none: those with usual names."""
        self.fields, self.used = fields, set[str]()
        self._files = others
        self._names = {name.lower(): name for name in others}

    def files(self, picture: str, endings: tuple[str, ...]) -> str | None:
        """`a.txt`, then `a.jpg.txt`, for `a.jpg`, whatever the case."""
        stem = picture.lower().removesuffix(PurePosixPath(picture).suffix.lower())
        wanted = (f"{base}.{ending}" for base in (stem, picture.lower()) for ending in endings)
        return next((self._names[name] for name in wanted if name in self._names), None)

    def sample(self, pictures: list[str]) -> dict[str, bytes]:
        """The first bytes of texts spread over all pictures, by their names: a MiB for `encoding_of`."""
        every = max(1, len(pictures) // 2000)
        names = (self.files(picture, (*LINES, *OBJECTS)) for picture in pictures[::every])
        heads: dict[str, bytes] = {}
        total = 0
        for name in filter(None, names):
            heads[name] = self._read(name, _HEAD_BYTES)
            total += len(heads[name])
            if total > SAMPLE_BYTES:
                break
        return heads

    def mark(self, picture: str) -> list[str | None]:
        """The names of the lines and of the JSON document beside a picture, which now belong to it."""
        names = [self.files(picture, endings) for endings in (LINES, OBJECTS)]
        self.used.update(filter(None, names))
        return names

    def text(self, picture: str) -> tuple[bytes | None, bytes | None]:
        """The lines and the JSON document beside a picture."""
        names = self.mark(picture)
        lines, document = (self._read(name, SIDECAR_BYTES + 1) if name else None for name in names)
        return lines, document

    def _read(self, name: str, num_bytes: int) -> bytes:
        with self._files[name].open("rb") as file:
            return file.read(num_bytes)
