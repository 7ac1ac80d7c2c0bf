"""A file with a caption a line, read by the number of the line without holding it in memory.

    captions = CaptionLines(path)
    captions[17]            # "一只蜜蜂"; None: there is no such line, or no text on it

A line of a .jsonl is an object whose caption is taken: the column that is named, or one with a usual name.
"""

import json
import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...manifests.errors import BadInput
from ...pipeline.sources.annotations.caption_fields import caption_fields

_CHUNK_BYTES = 1 << 24


class CaptionLines:
    def __init__(self, path: Path, column: str | None = None) -> None:
        """Raises BadInput when there is no such file."""
        if not path.is_file():
            raise BadInput(f"{path}: no file of captions there", cure="say --captions FILE, a caption a line")
        self._is_json, self._column = path.suffix == ".jsonl", column
        with path.open("rb") as file:
            size = path.stat().st_size
            self._data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        self._ends = _line_ends(self._data)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> str | None:
        if not 0 <= number < len(self._ends):
            return None
        start = int(self._ends[number - 1]) + 1 if number else 0
        try:
            line = self._data[start : int(self._ends[number])].decode("utf-8-sig").strip()
            return self._caption(json.loads(line)) if self._is_json and line else line or None
        except ValueError:  # neither UTF-8 nor JSON
            return None

    def _caption(self, document: Any) -> str | None:
        names = (self._column,) if self._column else ()
        cells = caption_fields(document, names) if isinstance(document, dict) else []
        texts = [text for cell in cells for text in (cell if isinstance(cell, list) else [cell])]
        return next((text for text in texts if isinstance(text, str) and text.strip()), None)


def _line_ends(data: Any) -> NDArray[np.int64]:
    """Where each line ends: eight bytes a line."""
    ends = [np.zeros(0, np.int64)]
    for start in range(0, len(data), _CHUNK_BYTES):
        chunk = np.frombuffer(data[start : start + _CHUNK_BYTES], np.uint8)
        ends.append(np.flatnonzero(chunk == ord("\n")) + start)
    if len(data) and data[len(data) - 1] != ord("\n"):
        ends.append(np.array([len(data)]))
    return np.concatenate(ends)
