"""What the columns of an unknown table hold, by their first values.

guessed_columns(Path("x.csv")).address        # "link": its values have ://
guessed_columns(Path("x.csv")).caption        # "words": most Han characters
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from .sources.tables.base64_text import from_base64
from .sources.tables.picture_column import picture_column
from .sources.tables.table_file import TableFile, open_table
from .tables.arrow_rows import arrow_rows
from .tables.column_roles import ADDRESSES, CAPTIONS, only_usual, usual_columns
from .tables.table_rows import column_names, table_format, table_rows

_PEEKED_ROWS = 50
_LEAST_BYTES = 64  # of a picture: a word is base64, too


@dataclass(frozen=True)
class GuessedColumns:
    address: str | None
    caption: str | None
    is_plain: bool  # the names alone say which column has the captions


def holds_pictures(file: Path) -> bool:
    """Whether a column of Parquet or Arrow holds bytes, structs or lists of them, or base64.

    Where it holds the paths of files, the folder is the source and the table its captions.
    """
    if table_format(file) not in ("parquet", "arrow"):
        return False
    with open_table(file) as table:
        return any(_has_bytes(field.type) for field in table.schema) or _has_base64(table)


def holds_addresses(file: Path, columns: list[str]) -> bool:
    """Whether a column's values are addresses, and its name or another column's text says that they are pictures'.

    A JSON-LD document, such as a data set's `croissant.json`, holds addresses of other things.
    """
    if not columns or "@context" in columns:
        return False
    guessed = guessed_columns(file)
    return guessed.address is not None and (guessed.caption is not None or bool(usual_columns(columns, ADDRESSES)))


def guessed_columns(file: Path) -> GuessedColumns:
    """Raises BadInput when the file is no whole table."""
    names = column_names(file)
    rows = [row for row in islice(table_rows(file), _PEEKED_ROWS) if row is not None]
    values = {name: [row.get(name) for row in rows] for name in names}
    addresses = [name for name in names if _share(values[name], _is_address) > 0.5]
    named = only_usual(names, ADDRESSES)
    address = named if named in addresses else next(iter(addresses), None)
    plain = only_usual(names, CAPTIONS)
    han = {name: sum(map(_han, values[name])) for name in names if name != address}
    most = max(han, key=lambda name: han[name], default=None)
    return GuessedColumns(address, plain or (most if most and han[most] else None), plain is not None)


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_has_bytes(field.type) for field in kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _has_bytes(kind.value_type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _has_base64(table: TableFile) -> bool:
    column = picture_column(table.schema)
    if column is None or not table.group_rows:
        return False
    rows = (row for batch in islice(table.batches(0, [column]), 1) for row in arrow_rows(batch))
    cells = (cell for row in rows for cell in (row[column] if isinstance(row[column], list) else [row[column]]))
    return any(isinstance(cell, str) and len(from_base64(cell) or b"") >= _LEAST_BYTES for cell in cells)


def _share(values: list[Any], holds: Any) -> float:
    filled = [value for value in values if value is not None]
    return sum(map(holds, filled)) / len(filled) if filled else 0.0


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower().startswith(("http://", "https://", "//"))


def _han(value: Any) -> int:
    text = value if isinstance(value, str) else " ".join(map(str, value)) if isinstance(value, list) else ""
    return sum("\u4e00" <= character <= "\u9fff" for character in text)
