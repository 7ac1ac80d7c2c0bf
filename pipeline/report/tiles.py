"""A pair as the page shows it: a small picture, its caption as plain text, and a few numbers.

    tile_of(row, pictures)["caption"], tile_of(row, pictures)["place"]

Nothing that was masked or that opens a door travels: no user, query or fragment of an address, no control character,
and no caption of what fell for personal data.
"""

import unicodedata
from typing import Any
from urllib.parse import urlsplit

from ..format_numbers import num_bytes
from ..reasons import measured_of
from .corpus_parts import Row
from .figures import Numbers
from .thumbnails import SmallPictures

WHOLE_CHARACTERS = 1000  # of a caption, when it is pointed at


def tile_of(row: Row, pictures: SmallPictures, numbers: Numbers | None = None) -> dict[str, Any]:
    """A pair as a gallery shows it. What was dropped for personal data keeps its caption to itself."""
    caption = "" if row["reason"] == "personal_data" else plain(row["caption"] or "")
    if numbers and row["reason"] == "caption_seen_too_often":
        row = {**row, "same_caption": numbers.captions.count_of(row["caption"])}
    return {
        **{name: row[name] for name in ("key", "source", "reason", "distance", "bytes", "format")},
        "picture": pictures.of(row),
        "caption": caption[:WHOLE_CHARACTERS] + ("…" if len(caption) > WHOLE_CHARACTERS else ""),
        "withheld": row["reason"] == "personal_data",
        "place": _address(row["url"]) or plain(row["origin"]),
        "measured": measured_of(row),
        "size": _size(row),
    }


def _size(row: Row) -> str:
    sides = f"{row['width']:,} × {row['height']:,} px" if row["width"] and row["height"] else ""
    return " · ".join(word for word in (sides, num_bytes(row["bytes"]) if row["bytes"] else "") if word)


def _address(url: str | None) -> str:
    """Without user, query and fragment, where passwords and tokens stand."""
    try:
        parts = urlsplit(plain(url or ""))
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else ""


def plain(text: str) -> str:
    """Without what is not seen but works: controls, zero-width characters, turns of the direction of writing."""
    if text.isprintable():
        return text
    return "".join(char if unicodedata.category(char)[0] != "C" else " " * (char in "\t\r\n") for char in text)
