"""The columns of a list that hold the address, the captions and the licence.

    list_columns(Path("0.parquet"), ["URL", "TEXT", "LICENSE"], section)
    # {"url": "URL", "captions": ["TEXT"], "license": "LICENSE", …}

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
    plain,
    usual_columns,
)
from .urls_section import UrlsSource
from .where import Condition


@dataclass(frozen=True)
class Preset:
    """Usual names of columns, as `column_roles.plain` spells them."""

    urls: tuple[str, ...]  # the first that the list has is taken
    captions: tuple[str, ...]  # all that the list has are taken


PRESETS = {
    "wukong": Preset(("url",), ("caption",)),  # wukong_100m_0.csv: url,caption
    "laion": Preset(("url",), ("text",)),  # SAMPLE_ID, URL, TEXT, HEIGHT, WIDTH, LICENSE, NSFW, similarity
    "danqing": Preset(("url", "imageurl"), ("alttext", "recaption")),
    "wit": Preset(
        ("imageurl",),
        ("captionreferencedescription", "captionattributiondescription", "captionalttextdescription"),
    ),
    "coyo": Preset(("url",), ("text",)),  # id, url, text, width, height, image_phash, …
    # Its files lie behind a form. Its makers call the address imageURL, its users image_url. The paper names title,
    # content and image query as the texts of one picture: each becomes a caption. Keywords are for `captions:` to name.
    "zero": Preset(("imageurl", "url"), ("title", "content", "imagequery", "query", "text", "caption")),
}


class Columns(TypedDict):
    """Names of columns."""

    url: str
    captions: list[str]
    license: str | None  # None: the list has none
    width: str | None  # None: what the list says is not judged
    height: str | None
    where: dict[str, Condition]


def list_columns(file: Path, names: Sequence[str], section: UrlsSource) -> Columns:
    """`names` are all columns of the list. Raises BadInput, which lists them."""
    preset = PRESETS.get(section.preset or "")
    asked = [*([section.caption] if section.caption else []), *section.captions]
    sides = section.width_column, section.height_column
    if not any("://" in name for name in names):
        check_columns(file, names, (section.url, *asked, section.license_column, *sides))
    url = section.url or _url(names, preset)
    captions = list(dict.fromkeys(asked)) or _captions(names, preset)
    if not url or not captions or any("://" in name for name in names):
        raise _not_plain(file, names, section, missing_url=not url)
    license_ = section.license_column or next(iter(usual_columns(names, LICENSES)), None)
    where = {_column(file, names, name): condition for name, condition in section.where.items()}
    return Columns(url=url, captions=captions, license=license_, width=sides[0], height=sides[1], where=where)


def columns_in_order(row: Sequence[str]) -> list[str]:
    """Names for the columns of a list without a line of names: the address, and the text with most Han characters."""
    address = next((number for number, cell in enumerate(row) if "://" in cell), None)
    others = [number for number in range(len(row)) if number != address]
    han = {number: sum("\u4e00" <= character <= "\u9fff" for character in row[number]) for number in others}
    caption = max(han, key=lambda number: han[number], default=None)
    names = {address: "url", caption: "caption"}
    return [names.get(number, f"column{number + 1}") for number in range(len(row))]


def _not_plain(file: Path, names: Sequence[str], section: UrlsSource, missing_url: bool) -> BadInput:
    if any("://" in name for name in names):
        return BadInput(
            f"{file}: it has {listed(names)}",
            cure=f"name its columns in their order: `columns: [{', '.join(columns_in_order(names))}]`",
        )
    which = f"preset `{section.preset}` does not fit" if section.preset else "it is not plain which column is what"
    missing = "the address with `url: …`" if missing_url else "the caption with `caption: …`"
    return BadInput(f"{file}: {which}; it has {listed(names)}", cure=f"name the column of {missing}")


def _column(file: Path, names: Sequence[str], name: str) -> str:
    """The column that `where` names, in the spelling of the list."""
    if name not in names and (alike := usual_columns(names, [plain(name)])):
        return alike[0]
    check_columns(file, names, [name])
    return name


def _url(names: Sequence[str], preset: Preset | None) -> str | None:
    return next(iter(usual_columns(names, preset.urls)), None) if preset else only_usual(names, ADDRESSES)


def _captions(names: Sequence[str], preset: Preset | None) -> list[str]:
    if preset:
        return usual_columns(names, preset.captions)
    only = only_usual(names, CAPTIONS)
    return [only] if only else []
