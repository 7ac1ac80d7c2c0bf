"""The texts of one split of Chinese-CLIP: by the picture that they describe, and those that name none.

    texts = read_jsonl(path, "utf-8")   # {"text_id": 8428, "text": "一只猫", "image_ids": [1, 2]}
    texts.by_picture["1"]        # ["一只猫"]
    texts.alone                  # [LoneText("9001", ["没有图"], None)]: image_ids is empty, as in a test split

The files of MUGE's competition (`MR_train_queries.jsonl`) call the fields query_id, query_text and item_ids.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ...tables.cell_text import BrokenCell, cell_text, cell_texts
from ...tables.table_rows import json_values
from .picture_lmdb import pair_rows

_TEXTS, _TEXT_IDS, _PICTURE_IDS = ("text", "query_text"), ("text_id", "query_id"), ("image_ids", "item_ids", "image_id")


class LoneText(NamedTuple):
    """A row that names no picture."""

    place: str  # its id; `#12`, its number, where it has none or not for itself
    captions: list[str]
    problem: str | None = None


@dataclass
class ClipTexts:
    by_picture: dict[str, list[str]] = field(default_factory=dict)
    alone: list[LoneText] = field(default_factory=list)


class Places:
    """Names for rows by their ids. What is no id for itself gets the number of its row behind a `#`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def name(self, row_id: str | None, number: int) -> str:
        if row_id and "#" not in row_id and row_id not in self._seen:
            self._seen.add(row_id)
            return row_id
        return f"{row_id or ''}#{number}"


def read_jsonl(path: Path, encoding: str) -> ClipTexts:
    return _collected(_json_rows(path, encoding))


def read_pairs(folder: Path) -> ClipTexts:
    """Those of an LMDB: its pairs name one picture each."""
    return _collected((pair and (pair[1], pair[2], pair[0])) for _, pair in pair_rows(folder))


def _json_rows(path: Path, encoding: str) -> Iterator[tuple[Any, Any, Any] | None]:
    for row in json_values(path, encoding):
        yield (
            (_first(row, _TEXT_IDS), _first(row, _TEXTS), _first(row, _PICTURE_IDS)) if isinstance(row, dict) else None
        )


def _collected(rows: Iterator[tuple[Any, Any, Any] | None]) -> ClipTexts:
    """`rows` have the id of the text, the text, and the ids of the pictures; None: broken."""
    texts, places = ClipTexts(), Places()
    for number, row in enumerate(rows):
        try:
            if row is None:
                raise BrokenCell("no row")
            text_id, captions, pictures = cell_text(row[0]), cell_texts(row[1]) or [""], cell_texts(row[2])
        except BrokenCell:
            texts.alone.append(LoneText(places.name(None, number), [], "broken_row"))
            continue
        for picture in dict.fromkeys(pictures):
            texts.by_picture.setdefault(picture, []).extend(captions)
        if not pictures:
            texts.alone.append(LoneText(places.name(text_id, number), captions))
    return texts


def _first(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if name in row), None)
