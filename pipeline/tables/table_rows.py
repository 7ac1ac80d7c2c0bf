"""The rows of a table file, one after the other: Parquet, Arrow, CSV, TSV, JSON Lines, a JSON array; text also as gzip.

    for record in table_rows(Path("wukong_100m_0.csv.gz")): …    # {"url": …, "caption": …}, or None

None is a row that cannot be read: too few or too many fields, a line that is no JSON object. A file that can no longer
be divided into rows (a cut gzip, a missing bracket) raises BadInput with the file and the line.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.errors import BadInput
from .arrow_rows import arrow_rows
from .check_batch import checked
from .csv_rows import csv_rows, tsv_rows
from .json_array import json_elements
from .open_text import is_gzip, not_whole, open_text

Record = dict[str, Any]  # column → cell, whatever JSON or Parquet holds there
TEXT_FORMATS = ("csv", "tsv", "json")
_ENDINGS = {
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow",
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "json", ".ndjson": "json", ".json": "json",
}  # fmt: skip
_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow"}
_SHOWN = {"parquet": "Parquet", "arrow": "Arrow", "": "table"}
_BATCH_ROWS = 2000
_PEEKED_ROWS = 100


def table_format(path: Path) -> str | None:
    """Return "parquet", "arrow", "csv", "tsv" or "json"; None for no table. Of text the name decides: `x.CSV.gz`."""
    with path.open("rb") as file:
        head = file.read(8)
    if binary := next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None):
        return binary
    name = path.name.lower().removesuffix(".gz")
    named = next((format_ for ending, format_ in _ENDINGS.items() if name.endswith(ending)), None)
    return named if named in TEXT_FORMATS else None


def column_names(path: Path, encoding: str | None = None) -> list[str]:
    """Names of columns: of a schema, of the first line of CSV and TSV, of the first 100 JSON objects."""
    format_ = table_format(path)
    if format_ in ("parquet", "arrow"):
        with open_batches(path) as (schema, _):
            return list(schema.names)
    with _opened_text(path, encoding) as lines:
        if format_ in ("csv", "tsv"):
            return _names(next(_fields(format_, lines), None))
        objects = [row for row in islice(_records(path, lines), _PEEKED_ROWS) if row is not None]
    if not objects:
        problem = "holds no JSON objects" if is_gzip(path) or path.suffix != ".gz" else "is no gzip and holds no JSON"
        raise BadInput(f"{path}: {problem}", cure="give an array of objects, or one object a line")
    return list(dict.fromkeys(name for row in objects for name in row))


def table_rows(
    path: Path, columns: list[str] | None = None, encoding: str | None = None, names: list[str] | None = None
) -> Iterator[Record | None]:
    """Yield each row, with at least those of `columns` that it has; None: with all. Raises BadInput.

    `names` are those of all columns of CSV and TSV whose first line is a row already.
    """
    format_ = table_format(path)
    if format_ in ("parquet", "arrow"):
        with open_batches(path, columns) as (_, batches):
            for batch in batches:
                yield from arrow_rows(batch)
        return
    with _opened_text(path, encoding) as lines:
        if format_ in ("csv", "tsv"):
            rows = _fields(format_, lines)
            names = names or _names(next(rows, None))
            for fields in rows:
                whole = fields is not None and len(fields) == len(names)
                yield dict(zip(names, fields or [], strict=True)) if whole else None
        else:
            yield from _records(path, lines)


def text_fields(path: Path, encoding: str | None = None) -> Iterator[list[str] | None]:
    """Yield the fields of each row of CSV or TSV, the first one included; None for a row that cannot be read."""
    with _opened_text(path, encoding) as lines:
        yield from _fields(table_format(path) or "tsv", lines)


def json_values(path: Path, encoding: str | None = None) -> Iterator[Any]:
    """Yield the elements of a JSON array, the values of JSON Lines (None: broken), or one whole object."""
    with _opened_text(path, encoding) as lines:
        yield from _values(path, lines)


@contextmanager
def open_batches(path: Path, columns: list[str] | None = None) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """The schema and the batches of Parquet or Arrow. Raises BadInput when the file is not whole."""
    try:
        if table_format(path) == "parquet":
            with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
                wanted = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
                yield file.schema_arrow, file.iter_batches(_BATCH_ROWS, columns=wanted, use_threads=False)
        else:
            with pa.memory_map(str(path)) as source:
                yield _open_arrow(source)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        is_name = isinstance(error, UnicodeDecodeError)  # cells are decoded one by one, so it is no cell
        message = "the name of a column is not UTF-8" if is_name else " ".join(str(error).split())[:200]
        raise BadInput(
            f"{path}: not whole {_SHOWN[table_format(path) or '']} ({message})", cure="get the file again"
        ) from None


def _open_arrow(source: pa.NativeFile) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
    batches = (reader.get_batch(number) for number in range(reader.num_record_batches)) if is_file else reader
    return reader.schema, map(checked, batches)


class _Lines:
    """A text stream that counts its lines, for error messages."""

    def __init__(self, text: IO[str]) -> None:
        self.text, self.count = text, 1

    def __iter__(self) -> Iterator[str]:
        for line in self.text:
            yield line
            self.count += 1


@contextmanager
def _opened_text(path: Path, encoding: str | None) -> Iterator[_Lines]:
    with open_text(path, encoding) as text:
        lines = _Lines(text)
        try:
            yield lines
        except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
            raise not_whole(path, lines.count, error) from None


def _fields(format_: str, lines: Iterable[str]) -> Iterator[list[str] | None]:
    return csv_rows(lines) if format_ == "csv" else tsv_rows(lines)


def _names(fields: list[str] | None) -> list[str]:
    return [name.strip() for name in fields or []]


def _records(path: Path, lines: _Lines) -> Iterator[Record | None]:
    for value in _values(path, lines):
        yield value if isinstance(value, dict) else None


def _values(path: Path, lines: _Lines) -> Iterator[Any]:
    start = lines.text.read(4096).lstrip()
    lines.text.seek(0)
    if start.startswith("["):
        yield from json_elements(lines.text, lambda line, error: not_whole(path, line, error))
        return
    filled = (line for line in lines if line.strip())
    first = next(filled, None)
    if first is None:
        return
    if _parsed(first) is None and (whole := _whole_object(chain([first], filled))) is not None:
        yield whole
        return
    lines.text.seek(0)
    yield from (_parsed(line) for line in lines if line.strip())


def _whole_object(lines: Iterable[str]) -> Any:
    """The one object that a pretty-printed file is; None if it is not one."""
    first, second = (next(iter(part), "") for part in (lines, lines))
    text = first + second
    return _parsed(text + "".join(lines)) if first.lstrip().startswith("{") and not second.startswith("{") else None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
