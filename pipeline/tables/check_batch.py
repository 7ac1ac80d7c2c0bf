"""Arrow batches whose buffers contradict one another are refused before a value is read.

for batch in map(checked, reader): …      # raises pa.ArrowInvalid

Arrow maps its files into memory and believes their offsets: reading a damaged one would end the process. A string that
is not UTF-8, or a date that does not exist, is no such damage. It costs its own cell (`arrow_rows`).
"""

from typing import Any

import numpy as np
import pyarrow as pa


def checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    for column in batch.columns:
        column.validate()  # sizes of buffers, of all that is nested in it, too
        _check(column)
    return batch


def _check(array: Any) -> None:
    kind, types = array.type, pa.types
    if types.is_struct(kind):
        for number in range(kind.num_fields):
            _check(array.field(number))
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind):
        _check_ascending(array.offsets, len(array.values if not types.is_map(kind) else array.keys))
        for values in (array.keys, array.items) if types.is_map(kind) else (array.values,):
            _check(values)
    elif types.is_list_view(kind) or types.is_large_list_view(kind):
        _check_views(array)
        _check(array.values)
    elif types.is_fixed_size_list(kind):
        _check(array.values)
    elif types.is_dictionary(kind):
        _check_indices(array)
        _check(array.dictionary)
    elif isinstance(array, pa.ExtensionArray):
        _check(array.storage)
    elif types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        bytes_ = pa.binary() if types.is_string(kind) else pa.large_binary() if types.is_large_string(kind) else None
        array.view(bytes_ or pa.binary_view()).validate(full=True)
    elif not types.is_primitive(kind) and not types.is_decimal(kind):
        array.validate(full=True)


def _check_ascending(offsets: pa.Array, most: int) -> None:
    values = offsets.to_numpy(zero_copy_only=False)
    if len(values) and (values[0] < 0 or values[-1] > most or bool((values[1:] < values[:-1]).any())):
        raise pa.ArrowInvalid("offsets of a list are out of order")


def _check_views(array: Any) -> None:
    offsets, sizes = (
        np.asarray(each.to_numpy(zero_copy_only=False), np.int64) for each in (array.offsets, array.sizes)
    )
    if len(offsets) and (offsets.min() < 0 or sizes.min() < 0 or (offsets > len(array.values) - sizes).any()):
        raise pa.ArrowInvalid("a list lies outside of its values")


def _check_indices(array: Any) -> None:
    used = array.indices.drop_null().to_numpy(zero_copy_only=False)
    if len(used) and (int(used.min()) < 0 or int(used.max()) >= len(array.dictionary)):
        raise pa.ArrowInvalid("an index of a dictionary is too large")
