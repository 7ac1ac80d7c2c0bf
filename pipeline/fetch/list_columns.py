"""The columns of a list that hold the address, the captions and the licence.

    list_columns(Path("0.parquet"), ["URL", "TEXT", "LICENSE"], section)
    # {"url": "URL", "captions": ["TEXT"], "license": "LICENSE"}

Names in the recipe come first, then its preset's, then the obvious: exactly one column has a usual name of addresses,
and exactly one a usual name of captions. `url` beside `image_url` is not obvious (a page, and its picture).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from ...manifests.errors import BadInput
from ..tables.column_roles import (
    ADDRESSES,
    CAPTIONS,
    LICENSES,
    check_columns,
    listed,
    only_usual,
    usual_columns,
)
from .urls_section import UrlsSource


@dataclass(frozen=True)
class Preset:
    """Usual names of columns, as `column_roles.plain` spells them."""

    urls: tuple[str, ...]  # the first that the list has is taken
    captions: tuple[str, ...]  # all that the list has are taken


_PRESETS = {
    "wukong": Preset(("url",), ("caption",)),  # wukong_100m_0.csv: url,caption
    "laion": Preset(("url",), ("text",)),  # SAMPLE_ID, URL, TEXT, HEIGHT, WIDTH, LICENSE, NSFW, similarity
    "coyo": Preset(("url",), ("text",)),  # id, url, text, width, height, image_phash, …
    # Its files lie behind a form. Its makers call the address imageURL, its users image_url. The paper names title,
    # content and image query as the texts of one picture: each becomes a caption.
    "zero": Preset(("imageurl", "url"), ("title", "content", "imagequery", "query", "text", "caption")),
}


class Columns(TypedDict):
    """Names of columns."""

    url: str
    captions: list[str]
    license: str | None  # None: the list has none


def list_columns(file: Path, names: Sequence[str], section: UrlsSource) -> Columns:
    """`names` are all columns of the list. Raises BadInput, which lists them."""
    preset = _PRESETS.get(section.preset or "")
    check_columns(file, names, (section.url, section.caption, section.license_column))
    url = section.url or _url(names, preset)
    captions = [section.caption] if section.caption else _captions(names, preset)
    if not url or not captions:
        which = f"preset `{section.preset}` does not fit" if preset else "it is not plain which column is what"
        missing = "the address with `url: …`" if not url else "the caption with `caption: …`"
        raise BadInput(f"{file}: {which}; it has {listed(names)}", cure=f"name the column of {missing}")
    license_ = section.license_column or next(iter(usual_columns(names, LICENSES)), None)
    return Columns(url=url, captions=captions, license=license_)


def _url(names: Sequence[str], preset: Preset | None) -> str | None:
    return next(iter(usual_columns(names, preset.urls)), None) if preset else only_usual(names, ADDRESSES)


def _captions(names: Sequence[str], preset: Preset | None) -> list[str]:
    if preset:
        return usual_columns(names, preset.captions)
    only = only_usual(names, CAPTIONS)
    return [only] if only else []
