"""Lists of addresses with captions → slices of a fixed number of rows: the function of the stage `list`.

    lists/wukong_100m_0-3f2a91bc-00003.parquet     row, url, captions, license, problem

A slice is named by its list and its place in it, and a row by its number in the list: what comes of them keeps its
names, and so its keys, when other lists come or go. A row that cannot be read, or without an address, is a row with a
problem: it gets its verdict like all others. A list is read as a stream, whatever its size.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.errors import BadInput
from ..executor.part import Part
from ..sources.source import as_text, on_disk, whole_text
from .list_columns import Columns, asked_of, list_columns
from .list_rows import Record, column_names, list_ending, list_rows
from .list_text import is_broken
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
    columns: dict[str, Any]  # JSON of Columns


class ListConfig(TypedDict):
    rows: int  # of a slice
    folder: str  # that the lists lie in; or the one list


class ListSummary(TypedDict):
    rows: int
    broken: int


def list_files(source: UrlsSource, path: Path) -> list[Part[ListPart]]:
    """A part a list. Raises BadInput when there is none, or when its columns cannot be told."""
    if not path.exists():
        raise BadInput(f"source {source.name}: {path} does not exist", cure="paths are relative to the recipe")
    found = [path] if path.is_file() else sorted(path.rglob("*"))
    files = [file for file in found if file.is_file() and list_ending(file) and not file.name.startswith((".", "_"))]
    if not files:
        raise BadInput(
            f"source {source.name}: no list in {path}",
            cure="give .parquet, .csv, .tsv, .jsonl or .json, or those as .gz",
        )
    parts = []
    for file in files:
        relative = as_text(file.name if file == path else file.relative_to(path).as_posix())
        columns = list_columns(file, column_names(file), asked_of(source))
        stat = file.stat()
        spec = ListPart(list=relative, bytes=stat.st_size, mtime_ns=stat.st_mtime_ns, columns=asdict(columns))
        parts.append(Part(_name(relative), spec))
    return parts


def cut_list(part: Part[ListPart], config: ListConfig, folder: Path) -> ListSummary:
    columns = Columns(**part.spec["columns"])
    root = Path(config["folder"])
    rows = _rows(root if root.is_file() else on_disk(root, part.spec["list"]), columns)
    count = broken = 0
    for number, slice_ in enumerate(iter(lambda: list(islice(rows, config["rows"])), [])):
        table = pa.Table.from_pylist([vars(row) for row in slice_], schema=_SLICE)
        pq.write_table(table, folder / f"{part.name}-{number:05d}.parquet", compression="zstd")
        count += len(slice_)
        broken += sum(bool(row.problem) for row in slice_)
    return ListSummary(rows=count, broken=broken)


def read_slice(path: Path) -> list[ListRow]:
    return [ListRow(**row) for row in pq.read_table(path).to_pylist()]


def _name(relative: str) -> str:
    """The list's own name as far as it is one, and a hash, for `a/x.csv` and `b/x.csv` are two."""
    stem = re.sub(r"[^\w-]+", "_", Path(relative).name.partition(".")[0])[:40]
    return f"{stem}-{hashlib.blake2b(relative.encode(), digest_size=4).hexdigest()}"


def _rows(file: Path, columns: Columns) -> Iterator[ListRow]:
    wanted = [columns.url, *columns.captions, *([columns.license] if columns.license else [])]
    for number, record in enumerate(list_rows(file, list(dict.fromkeys(wanted)))):
        yield _row(number, record, columns)


def _row(number: int, record: Record | None, columns: Columns) -> ListRow:
    if record is None:
        return ListRow(number, None, [], None, "broken_row")
    captions = [text for name in columns.captions for text in _texts(record.get(name))]
    url = next(iter(_texts(record.get(columns.url))), "").strip()
    license_ = next(iter(_texts(record.get(columns.license or ""))), "").strip()
    if any(is_broken(text) for text in (url, *captions)):
        return ListRow(number, None, [], None, "broken_row")
    known = license_ if license_ not in ("", "?") else None  # LAION's word for unknown
    return ListRow(number, whole_text(url) or None, captions, known, "" if url else "bad_address")


def _texts(value: Any) -> list[str]:
    """A cell may hold a text, a number, or a list of them; blank ones are none."""
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return []
    text = str(value)
    return [text if is_broken(text) else whole_text(text)] if text.strip() else []
