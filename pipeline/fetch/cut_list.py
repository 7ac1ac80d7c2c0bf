"""Lists of addresses with captions → slices of a fixed number of rows: the function of the stage `list`.

    lists/wukong_100m_0-3f2a91bc-00003.parquet     row, url, captions, license, problem

A slice is named by its list and counted in it, and a row is numbered in its list: the pictures keep their names, and
so the pairs their keys, when other lists are added or removed. A row that cannot be read, or that has no address, is a
row with a problem and gets a verdict like all others. A list is read as a stream, whatever its size.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.errors import BadInput
from ..executor.part import Part
from ..sources.source import name_below, path_below
from ..tables.cell_text import without_surrogates
from ..tables.open_text import is_broken
from ..tables.table_rows import Record, column_names, table_format, table_rows
from .list_columns import Columns, list_columns
from .urls_section import UrlsSource

_SLICE = pa.schema(
    [
        ("row", pa.int64()),
        ("url", pa.string()),
        ("captions", pa.list_(pa.string())),
        ("license", pa.string()),
        ("problem", pa.string()),
    ]
)


@dataclass(frozen=True)
class ListRow:
    row: int  # from 0; lines that are blank do not count, nor does the one with the names
    url: str | None
    captions: list[str]
    license: str | None
    problem: str  # bad_address, broken_row; empty: to be fetched


class ListPart(TypedDict):
    list: str  # below the source's path
    bytes: int
    mtime_ns: int
    columns: Columns


class ListConfig(TypedDict):
    rows: int  # of a slice
    folder: str  # that holds the lists, or the one list


class ListSummary(TypedDict):
    rows: int
    broken: int


def list_files(source: UrlsSource, path: Path) -> list[Part[ListPart]]:
    """One part for each list. Raises BadInput when there is no list, or when its columns are not clear."""
    if not path.exists():
        raise BadInput(f"source {source.name}: {path} does not exist", cure="paths are relative to the recipe")
    below = [path] if path.is_file() else sorted(path.rglob("*"))
    files = [file for file in below if file.is_file() and table_format(file) and not file.name.startswith((".", "_"))]
    if not files:
        raise BadInput(
            f"source {source.name}: no list in {path}",
            cure="give .parquet, .csv, .tsv, .jsonl or .json, or those as .gz",
        )
    parts = []
    for file in files:
        name, stat = name_below(path, file), file.stat()
        columns = list_columns(file, column_names(file), source)
        spec = ListPart(list=name, bytes=stat.st_size, mtime_ns=stat.st_mtime_ns, columns=columns)
        parts.append(Part(_part_name(name), spec))
    return parts


def cut_list(part: Part[ListPart], config: ListConfig, folder: Path) -> ListSummary:
    rows = _rows(path_below(Path(config["folder"]), part.spec["list"]), part.spec["columns"])
    count = broken = 0
    for number, slice_ in enumerate(iter(lambda: list(islice(rows, config["rows"])), [])):
        table = pa.Table.from_pylist([vars(row) for row in slice_], schema=_SLICE)
        pq.write_table(table, folder / f"{part.name}-{number:05d}.parquet", compression="zstd")
        count += len(slice_)
        broken += sum(bool(row.problem) for row in slice_)
    return ListSummary(rows=count, broken=broken)


def read_slice(path: Path) -> list[ListRow]:
    return [ListRow(**row) for row in pq.read_table(path).to_pylist()]


def _part_name(name: str) -> str:
    """The stem of the list's name, and a hash of the whole: `a/x.csv` and `b/x.csv` are two lists."""
    stem = re.sub(r"[^\w-]+", "_", Path(name).name.partition(".")[0])[:40]
    return f"{stem}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def _rows(file: Path, columns: Columns) -> Iterator[ListRow]:
    names = [columns["url"], *columns["captions"], *([columns["license"]] if columns["license"] else [])]
    for number, record in enumerate(table_rows(file, list(dict.fromkeys(names)))):
        yield _row(number, record, columns)


def _row(number: int, record: Record | None, columns: Columns) -> ListRow:
    if record is None:
        return ListRow(number, None, [], None, "broken_row")
    captions = [text for name in columns["captions"] for text in _texts(record.get(name))]
    url = next(iter(_texts(record.get(columns["url"]))), "").strip()
    license_ = next(iter(_texts(record.get(columns["license"] or ""))), "").strip()
    if any(is_broken(text) for text in (url, *captions)):
        return ListRow(number, None, [], None, "broken_row")
    stated = license_ if license_ not in ("", "?") else None  # LAION writes ? for an unknown licence
    return ListRow(number, without_surrogates(url) or None, captions, stated, "" if url else "bad_address")


def _texts(value: Any) -> list[str]:
    """The texts in a cell, which may hold a text, a number, or a list of them. Blank texts are left out."""
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return []
    text = str(value)
    return [text if is_broken(text) else without_surrogates(text)] if text.strip() else []
