"""The rows of a list file, one after the other: Parquet, CSV, TSV, JSON Lines, a JSON array; all but Parquet also .gz.

    for record in list_rows(Path("wukong_100m_0.csv.gz"), ["url", "caption"]): …    # {"url": …, …}, or None

None is a row that cannot be read: too few or too many fields, a line that is no JSON object. A file that can no longer
be divided into rows (a cut gzip, a missing bracket) raises BadInput with the file and the line.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.errors import BadInput
from .json_array import json_elements
from .list_text import not_whole, open_list

Record = dict[str, Any]  # column → cell, whatever JSON or Parquet holds there
_ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_BATCH_ROWS = 2000
_MAX_FIELD = 1 << 20  # characters; a quote that is never closed swallows what follows
_PEEKED_ROWS = 100


def list_ending(path: Path) -> str | None:
    """The ending that says how a list is read: `.csv` for `wukong.csv.gz`; None for a file that is no list."""
    name = path.name.lower()
    ending = next((ending for ending in _ENDINGS if name.removesuffix(".gz").endswith(ending)), None)
    return None if ending == ".parquet" and name.endswith(".gz") else ending


def column_names(path: Path) -> list[str]:
    """Names of columns: Parquet's schema, the first line of CSV and TSV, the keys of the first hundred JSON objects."""
    if list_ending(path) == ".parquet":
        with _opened_parquet(path) as file:
            return list(file.schema_arrow.names)
    with _opened_text(path) as lines:
        if list_ending(path) in (".csv", ".tsv"):
            return [name.strip() for name in next(_fields(path, lines), [])]
        objects = [row for row in islice(_json(path, lines), _PEEKED_ROWS) if row is not None]
    if not objects:
        raise BadInput(f"{path}: holds no JSON objects", cure="give an array of objects, or one object a line")
    return list(dict.fromkeys(name for row in objects for name in row))


def list_rows(path: Path, columns: list[str]) -> Iterator[Record | None]:
    """Yield each row, with those of `columns` that it has."""
    ending = list_ending(path)
    if ending == ".parquet":
        with _opened_parquet(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
                yield from batch.to_pylist()
        return
    with _opened_text(path) as lines:
        if ending in (".csv", ".tsv"):
            rows = _fields(path, lines)
            names = [name.strip() for name in next(rows, [])]
            for fields in rows:
                if fields:
                    yield dict(zip(names, fields, strict=True)) if len(fields) == len(names) else None
        else:
            yield from _json(path, lines)


class _Lines:
    """A text stream that counts its lines, for error messages."""

    def __init__(self, text: IO[str]) -> None:
        self.text, self.count = text, 1

    def __iter__(self) -> Iterator[str]:
        for line in self.text:
            yield line
            self.count += 1


@contextmanager
def _opened_text(path: Path) -> Iterator[_Lines]:
    with open_list(path) as text:
        lines = _Lines(text)
        try:
            yield lines
        except (EOFError, gzip.BadGzipFile, zlib.error, csv.Error, UnicodeDecodeError) as error:
            raise not_whole(path, lines.count, error) from None


@contextmanager
def _opened_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        message = " ".join(str(error).split())[:200]
        raise BadInput(f"{path}: not whole Parquet ({message})", cure="get the file again") from None


def _fields(path: Path, lines: _Lines) -> Iterator[list[str]]:
    csv.field_size_limit(_MAX_FIELD)
    return csv.reader(lines) if list_ending(path) == ".csv" else map(_tabbed, lines)


def _tabbed(line: str) -> list[str]:
    """TSV has no quoting: a caption that begins with a quote must not swallow what follows. Some quote all the same."""
    fields = line.rstrip("\r\n").split("\t") if line.strip() else []
    return [f[1:-1].replace('""', '"') if len(f) > 1 and f[0] == f[-1] == '"' else f for f in fields]


def _json(path: Path, lines: _Lines) -> Iterator[Record | None]:
    start = lines.text.read(4096).lstrip()
    lines.text.seek(0)
    if start.startswith("["):
        elements: Iterable[Any] = json_elements(lines.text, lambda line, error: not_whole(path, line, error))
    else:
        elements = (_parsed(line) for line in lines if line.strip())
    for element in elements:
        yield element if isinstance(element, dict) else None


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
