"""Keys as 32 bytes each, to sort and compare a million of them: no string object for each.

names = key_bytes(table["key"])      # (n,) S32, in the order of the strings
key_column(names)                    # and back
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BYTES = 32  # hex digits of a `manifests.pair.pair_key`


def key_bytes(keys: pa.ChunkedArray) -> NDArray[np.bytes_]:
    if not len(keys):
        return np.empty(0, f"S{_BYTES}")
    column = pa.concat_arrays(keys.chunks).cast(pa.binary()).cast(pa.binary(_BYTES))
    names: NDArray[np.bytes_] = np.frombuffer(column.buffers()[1], f"S{_BYTES}")
    return names[column.offset : column.offset + len(column)].copy()


def key_column(names: NDArray[np.bytes_]) -> pa.Array:
    buffer = pa.py_buffer(np.ascontiguousarray(names))
    column = pa.Array.from_buffers(pa.binary(_BYTES), len(names), [None, buffer])
    return column.cast(pa.binary()).cast(pa.string())
