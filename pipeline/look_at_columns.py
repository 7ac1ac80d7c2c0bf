"""What the columns of an unknown table hold, by their first values.

guessed_columns(Path("x.csv")).address        # "link": its values have ://
guessed_columns(Path("x.csv")).caption        # "words": most Han characters
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from .tables.column_roles import ADDRESSES, CAPTIONS, only_usual
from .tables.table_rows import column_names, open_batches, table_format, table_rows

_PEEKED_ROWS = 50


@dataclass(frozen=True)
class GuessedColumns:
    address: str | None
    caption: str | None
    is_plain: bool  # the names alone say which column has the captions


def holds_pictures(file: Path) -> bool:
    """Whether a column of Parquet or Arrow holds bytes, or structs or lists of them."""
    if table_format(file) not in ("parquet", "arrow"):
        return False
    with open_batches(file) as (schema, _):
        return any(_has_bytes(field.type) for field in schema)


def holds_addresses(file: Path, columns: list[str]) -> bool:
    """Whether a column has a usual name of addresses, and values that are some."""
    return guessed_columns(file).address is not None and bool(columns)


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


def _share(values: list[Any], holds: Any) -> float:
    filled = [value for value in values if value is not None]
    return sum(map(holds, filled)) / len(filled) if filled else 0.0


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower().startswith(("http://", "https://", "//"))


def _han(value: Any) -> int:
    text = value if isinstance(value, str) else " ".join(map(str, value)) if isinstance(value, list) else ""
    return sum("\u4e00" <= character <= "\u9fff" for character in text)
