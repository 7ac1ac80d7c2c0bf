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
from .urls_section import UrlsSource

_URLS = frozenset({"url", "imageurl", "imgurl", "imagelink", "imagesrc", "picurl"})
_CAPTIONS = frozenset({"caption", "captions", "text", "texts", "title", "alt", "alttext"})
_LICENSES = frozenset({"license", "licence"})


@dataclass(frozen=True)
class Preset:
    """Usual names of columns, as `_plain` spells them."""

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
    plain = {_plain(name): name for name in reversed(names)}  # of two that are alike the first
    preset = _PRESETS.get(section.preset or "")
    for name in (section.url, section.caption, section.license_column):
        if name and name not in names:
            raise BadInput(f"{file}: has no column `{name}`", cure=f"it has {_listed(names)}")
    url = section.url or _url(plain, preset)
    captions = [section.caption] if section.caption else _captions(plain, preset)
    if not url or not captions:
        which = f"preset `{section.preset}` does not fit" if preset else "it is not plain which column is what"
        missing = "the address with `url: …`" if not url else "the caption with `caption: …`"
        raise BadInput(f"{file}: {which}; it has {_listed(names)}", cure=f"name the column of {missing}")
    license_ = section.license_column or next((plain[name] for name in _LICENSES if name in plain), None)
    return Columns(url=url, captions=captions, license=license_)


def _url(plain: dict[str, str], preset: Preset | None) -> str | None:
    if preset:
        return next((plain[name] for name in preset.urls if name in plain), None)
    return _only(plain, _URLS)


def _captions(plain: dict[str, str], preset: Preset | None) -> list[str]:
    if preset:
        return [plain[name] for name in preset.captions if name in plain]
    only = _only(plain, _CAPTIONS)
    return [only] if only else []


def _only(plain: dict[str, str], known: frozenset[str]) -> str | None:
    names = [name for spelling, name in plain.items() if spelling in known]
    return names[0] if len(names) == 1 else None


def _plain(name: str) -> str:
    """The name in lower case, without `_`, `-` and blanks."""
    return name.strip().lower().replace("_", "").replace("-", "").replace(" ", "")


def _listed(names: Sequence[str]) -> str:
    if any("://" in name for name in names):
        return "no line of column names, it seems: its first line holds an address"
    return ", ".join(names[:40])
