"""The rows of an Arrow batch as Python values, whatever is wrong with a cell: one bad cell costs no other row.

    for row in arrow_rows(batch): row["caption"]        # a value, or UNREADABLE

UNREADABLE stands for a string that is not UTF-8, and for a time that Python cannot hold. `cell_text` refuses it.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

UNREADABLE = object()


def arrow_rows(batch: pa.RecordBatch | pa.Table) -> Iterator[dict[str, Any]]:
    """Of two columns with one name the first is read."""
    names = list(dict.fromkeys(batch.schema.names))
    columns = [_values(batch.column(batch.schema.names.index(name))) for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _values(column: Any) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (UnicodeDecodeError, ValueError, OverflowError, pa.ArrowException):
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (UnicodeDecodeError, ValueError, OverflowError, pa.ArrowException):
        return UNREADABLE
