"""A pair as the page shows it: a small picture, its caption as plain text, and a few numbers.

    tile = tile_of(row, pictures)
    tile.caption, tile.location

A tile has nothing that was masked and nothing that works on the page: an address loses its user, query and fragment, a
text its control characters. The caption of a pair that was dropped for personal data is withheld.
"""

import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..format_numbers import num_bytes
from ..reasons import Row, measured_of
from .corpus_numbers import CorpusNumbers
from .thumbnails import SmallPictures

WHOLE_CHARACTERS = 1000  # of a caption, in its tooltip


@dataclass(frozen=True)
class Tile:
    key: str
    source: str
    picture: str  # data URI; empty: none
    caption: str
    is_withheld: bool  # the caption is not shown
    location: str  # web address, or path in the source
    bytes: int
    format: str | None
    measured: str  # what was measured of a dropped pair
    size: str  # "320 × 240 px · 12 KB"


def tile_of(row: Row, pictures: SmallPictures, numbers: CorpusNumbers | None = None) -> Tile:
    """The tile of a pair; `numbers` know how many pairs have its caption."""
    is_withheld = row["reason"] == "personal_data"
    caption = "" if is_withheld else plain(row["caption"] or "")
    if numbers and row["reason"] == "caption_seen_too_often":
        row = {**row, "same_caption": numbers.captions.count_of(row["caption"])}
    return Tile(
        key=row["key"],
        source=row["source"],
        picture=pictures.of(row),
        caption=caption[:WHOLE_CHARACTERS] + ("…" if len(caption) > WHOLE_CHARACTERS else ""),
        is_withheld=is_withheld,
        location=_address(row["url"]) or plain(row["origin"]),
        bytes=row["bytes"],
        format=row["format"],
        measured=measured_of(row),
        size=_size(row),
    )


def plain(text: str) -> str:
    """`text` without invisible characters: controls, zero-width characters, changes of the writing direction."""
    if text.isprintable():
        return text
    return "".join(char if unicodedata.category(char)[0] != "C" else " " * (char in "\t\r\n") for char in text)


def _size(row: Row) -> str:
    sides = f"{row['width']:,} × {row['height']:,} px" if row["width"] and row["height"] else ""
    return " · ".join(word for word in (sides, num_bytes(row["bytes"]) if row["bytes"] else "") if word)


def _address(url: str | None) -> str:
    """The address without user, query and fragment, which may hold passwords and tokens."""
    try:
        parts = urlsplit(plain(url or ""))
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else ""
