"""The rows of an Arrow batch as Python values, whatever is wrong with a cell: one bad cell costs no other row.

    for row in arrow_rows(batch): row["caption"]        # a value, or UNREADABLE

UNREADABLE stands for a string that is not UTF-8, a time that Python cannot hold, and a map. `cell_text` refuses it.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

UNREADABLE = object()


def arrow_rows(batch: pa.RecordBatch | pa.Table) -> Iterator[dict[str, Any]]:
    """The rows of a batch. Where two columns share a name, the first is read."""
    names = list(dict.fromkeys(batch.schema.names))
    columns = [_values(batch.column(batch.schema.names.index(name))) for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _values(column: Any) -> list[Any]:
    if _holds_map(column.type):  # a map would come as a list of pairs, and its keys as texts
        return [UNREADABLE if is_valid else None for is_valid in column.is_valid().to_pylist()]
    try:
        return list(column.to_pylist())
    except (UnicodeDecodeError, ValueError, OverflowError, pa.ArrowException):
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (UnicodeDecodeError, ValueError, OverflowError, pa.ArrowException):
        return UNREADABLE


def _holds_map(kind: pa.DataType) -> bool:
    return bool(pa.types.is_map(kind)) or any(_holds_map(kind.field(number).type) for number in range(kind.num_fields))
