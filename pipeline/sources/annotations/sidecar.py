"""The text beside a picture: `.txt` or `.caption`, a caption a line, and `.json` with captions, address and licence.

sidecar(b"\\xe4\\xb8\\x80\\xe5\\x8f\\xaa\\xe7\\x8c\\xab", b'{"url": "https://…"}', "utf-8")     # Sidecar(["一只猫"], "https://…")

Lines count before JSON, where they say other words. A JSON caption with a line break is one caption, and lines that
are this caption, cut at its breaks or blanks, are not several.
"""

import json
from dataclasses import dataclass
from typing import Any

from ...tables.cell_text import BrokenCell, cell_text, cell_texts
from ...tables.text_encoding import decoded
from .caption_fields import caption_fields

SIDECAR_BYTES = 1 << 20  # a larger one is no caption
BROKEN_ROW = "broken_row"


@dataclass(frozen=True)
class Sidecar:
    captions: list[str]
    url: str | None = None
    license: str | None = None
    problem: str | None = None  # broken_row, or what a .json says under "problem"


def sidecar(lines: bytes | None, document: bytes | None, encoding: str, fields: tuple[str, ...] = ()) -> Sidecar:
    """`fields` are the keys of the JSON object that hold captions; if they are named, the lines do not count."""
    try:
        facts = _object(document, encoding, is_all=lines is None)
        captions = cell_texts(caption_fields(facts, fields), encoding)
        if lines is not None and not fields:
            captions = _captions(_lines(lines, encoding), captions)
        url, license_, problem = (cell_text(facts.get(name)) for name in ("url", "license", "problem"))
        return Sidecar(captions, url, license_, problem)
    except BrokenCell:
        return Sidecar([], problem=BROKEN_ROW)


def _captions(lines: list[str], captions: list[str]) -> list[str]:
    if lines and len(captions) == 1 and _words("".join(lines)) == _words(captions[0]):
        return captions
    return lines or captions


def _words(text: str) -> str:
    return "".join(text.split())


def _lines(data: bytes, encoding: str) -> list[str]:
    """The lines that are not blank. Only a line feed ends one: captions may hold other separators."""
    text = decoded(data, encoding) if len(data) <= SIDECAR_BYTES else None
    if text is None or "\0" in text:
        raise BrokenCell("not of the encoding")
    return [line.rstrip("\r") for line in text.split("\n") if line.strip()]


def _object(data: bytes | None, encoding: str, is_all: bool) -> dict[str, Any]:
    """The JSON object; an empty one if it is none. What is no JSON costs the row only if there are no lines beside it.

    JSON is UTF-8 unless the source is not.
    """
    if data is None:
        return {}
    text = decoded(data, "utf-8") or decoded(data, encoding)
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        if is_all:
            raise BrokenCell("no JSON") from None
        return {}
    return value if isinstance(value, dict) else {}
