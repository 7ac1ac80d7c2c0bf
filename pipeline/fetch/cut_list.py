"""A list of addresses with captions → slices of a fixed number of rows: the function of the stage `list`.

    lists/wukong_100m_0-3f2a91bc-00003.parquet     row, url, captions, license, problem, width, height

A slice is named by its list and counted in it, and a row is numbered in its list: the pictures keep their names, and
so the pairs their keys, when other lists are added or removed. A row that cannot be read, that has no address, or that
does not meet `where` is a row with a problem and gets a verdict like all others. A list is read as a stream.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict

from ..executor.part import Part
from ..sources.source import path_below
from ..tables.cell_text import BrokenCell, cell_texts
from ..tables.table_rows import Record, table_rows
from .list_columns import Columns
from .slice_file import ListRow, write_slice
from .where import is_wanted


class ListPart(TypedDict):
    names: list[str]  # of all columns, where the list has no line of names
    list: str  # below the source's path
    bytes: int
    mtime_ns: int
    columns: Columns
    encoding: str | None  # None: it is no text


class ListConfig(TypedDict):
    rows: int  # of a slice
    folder: str  # that holds the lists, or the one list


class ListSummary(TypedDict):
    rows: int
    broken: int  # rows with a problem


def cut_list(part: Part[ListPart], config: ListConfig, folder: Path) -> ListSummary:
    rows = _rows(path_below(Path(config["folder"]), part.spec["list"]), part.spec)
    count = broken = 0
    for number, slice_ in enumerate(iter(lambda: list(islice(rows, config["rows"])), [])):
        write_slice(folder / f"{part.name}-{number:05d}.parquet", slice_)
        count += len(slice_)
        broken += sum(bool(row.problem) for row in slice_)
    return ListSummary(rows=count, broken=broken)


def _rows(file: Path, spec: ListPart) -> Iterator[ListRow]:
    columns = spec["columns"]
    asked = [columns["url"], *columns["captions"], columns["license"], columns["width"], columns["height"]]
    names = dict.fromkeys([*(name for name in asked if name), *columns["where"]])
    for number, record in enumerate(table_rows(file, list(names), spec["encoding"], spec["names"])):
        yield _row(number, record, columns, spec["encoding"] or "utf-8")


def _row(number: int, record: Record | None, columns: Columns, encoding: str) -> ListRow:
    try:
        return _whole_row(number, record, columns, encoding)
    except BrokenCell:
        return ListRow(number, None, [], None, "broken_row")


def _whole_row(number: int, record: Record | None, columns: Columns, encoding: str) -> ListRow:
    if record is None:
        raise BrokenCell
    captions = [text for name in columns["captions"] for text in cell_texts(record.get(name), encoding)]
    url = _first(record.get(columns["url"]), encoding)
    license_ = _first(record.get(columns["license"]), encoding) if columns["license"] else ""
    problem = "" if is_wanted(record, columns["where"], encoding) else "not_wanted"
    return ListRow(
        number,
        url or None,
        captions,
        license_ if license_ not in ("", "?") else None,  # LAION writes ? for an unknown licence
        problem if url else "bad_address",
        _pixels(record.get(columns["width"])) if columns["width"] else None,
        _pixels(record.get(columns["height"])) if columns["height"] else None,
    )


def _first(cell: Any, encoding: str) -> str:
    return next(iter(cell_texts(cell, encoding)), "").strip()


def _pixels(cell: Any) -> int | None:
    """What a list says of a side; None for what is no size: the picture itself will tell."""
    try:
        return max(0, int(float(cell))) or None
    except (TypeError, ValueError, OverflowError):
        return None
