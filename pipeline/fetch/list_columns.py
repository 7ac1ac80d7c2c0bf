"""Which column of a list is the address, which are captions, which is the licence.

    columns = list_columns(Path("0.parquet"), ["URL", "TEXT", "LICENSE"], asked)
    columns.url, columns.captions, columns.license          # URL, ("TEXT",), LICENSE

Names that the recipe gives win; then its preset's; else what is obvious: one column alone is called as addresses are,
and one alone as captions are. `url` beside `image_url` is not obvious (a page, and its picture).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...manifests.errors import BadInput
from .urls_section import UrlsSource

_URLS = frozenset({"url", "imageurl", "imgurl", "imagelink", "imagesrc", "picurl"})
_CAPTIONS = frozenset({"caption", "captions", "text", "texts", "title", "alt", "alttext"})
_LICENSES = frozenset({"license", "licence"})


@dataclass(frozen=True)
class Preset:
    """By plain names: lower case, without `_`, `-` and blanks. Of several addresses the first there is is taken."""

    urls: tuple[str, ...]
    captions: tuple[str, ...]  # all that are there


_PRESETS = {
    "wukong": Preset(("url",), ("caption",)),  # wukong_100m_0.csv: url,caption
    "laion": Preset(("url",), ("text",)),  # SAMPLE_ID, URL, TEXT, HEIGHT, WIDTH, LICENSE, NSFW, similarity
    "coyo": Preset(("url",), ("text",)),  # id, url, text, width, height, image_phash, …
    # Its files lie behind a form. Its makers speak of the address as imageURL, users as image_url, the paper of title,
    # content and image query as the texts of one picture: each becomes a caption.
    "zero": Preset(("imageurl", "url"), ("title", "content", "imagequery", "query", "text", "caption")),
}


@dataclass(frozen=True)
class Columns:
    url: str
    captions: tuple[str, ...]
    license: str | None


def list_columns(file: Path, names: Sequence[str], asked: dict[str, str | None]) -> Columns:
    """`asked`: preset, url, caption, license of the recipe. Raises BadInput with the columns that there are."""
    plain = {_plain(name): name for name in reversed(names)}  # of two that are alike the first
    preset = _PRESETS.get(asked["preset"] or "")
    for name in (asked["url"], asked["caption"], asked["license"]):
        if name and name not in names:
            raise BadInput(f"{file}: has no column `{name}`", cure=f"it has {_listed(names)}")
    url = asked["url"] or _url(plain, preset)
    captions = (asked["caption"],) if asked["caption"] else _captions(plain, preset)
    if not url or not captions:
        which = f"preset `{asked['preset']}` does not fit" if preset else "it is not plain which column is what"
        missing = "the address with `url: …`" if not url else "the caption with `caption: …`"
        raise BadInput(f"{file}: {which}; it has {_listed(names)}", cure=f"name the column of {missing}")
    return Columns(url, captions, asked["license"] or next((plain[name] for name in _LICENSES if name in plain), None))


def asked_of(source: UrlsSource) -> dict[str, str | None]:
    return {"preset": source.preset, "url": source.url, "caption": source.caption, "license": source.license_column}


def _url(plain: dict[str, str], preset: Preset | None) -> str | None:
    if preset:
        return next((plain[name] for name in preset.urls if name in plain), None)
    return _only(plain, _URLS)


def _captions(plain: dict[str, str], preset: Preset | None) -> tuple[str, ...]:
    if preset:
        return tuple(plain[name] for name in preset.captions if name in plain)
    only = _only(plain, _CAPTIONS)
    return (only,) if only else ()


def _only(plain: dict[str, str], known: frozenset[str]) -> str | None:
    found = [name for kind, name in plain.items() if kind in known]
    return found[0] if len(found) == 1 else None


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "").replace("-", "").replace(" ", "")


def _listed(names: Sequence[str]) -> str:
    if any("://" in name for name in names):
        return "no line of column names, it seems: its first line holds an address"
    return ", ".join(names[:40])
