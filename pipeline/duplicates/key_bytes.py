"""Keys, hashes and texts as 16 bytes each: to compare and sort a hundred million of them, without a string for each.

keys = keys_of_hex(table["key"])            # fixed-size binary; of longer hashes the first 32 hex digits
hex_of_keys(keys)                           # and back, for people and for files
digests(["一只蜜蜂", None])                  # BLAKE2b of texts: equal texts alone have equal digests
names = key_bytes(keys)                     # (n,) S16, in the order of the hex digits
key_column(names)                           # and back
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

KEY_BYTES = 16
KEY = pa.binary(KEY_BYTES)
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_VALUES = np.zeros(256, np.uint8)
_VALUES[_DIGITS] = np.arange(16)


def keys_of_hex(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Null where there is none. All others have the same number of hex digits, 32 or more."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    is_valid, valid = whole.is_valid().to_numpy(zero_copy_only=False), whole.drop_null()
    values = np.zeros((len(whole), KEY_BYTES), np.uint8)
    if len(valid):
        digits = len(valid[0].as_py())
        fixed = valid.cast(pa.binary()).cast(pa.binary(digits))
        letters = np.frombuffer(fixed.buffers()[1], np.uint8).reshape(-1, digits)[fixed.offset :][: len(fixed)]
        nibbles = _VALUES[letters[:, : 2 * KEY_BYTES]]
        values[is_valid] = nibbles[:, ::2] << 4 | nibbles[:, 1::2]
    return _fixed(values, None if is_valid.all() else is_valid)


def hex_of_keys(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    is_valid = whole.is_valid().to_numpy(zero_copy_only=False)
    values = key_bytes(whole).view(np.uint8).reshape(-1, KEY_BYTES)
    letters = np.empty((len(whole), 2 * KEY_BYTES), np.uint8)
    letters[:, ::2], letters[:, 1::2] = _DIGITS[values >> 4], _DIGITS[values & 15]
    mask = None if is_valid.all() else is_valid
    return _fixed(letters, mask).cast(pa.binary()).cast(pa.string())


def digests(texts: Iterable[str | None]) -> pa.Array:
    hashed = (
        None if text is None else hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()
        for text in texts
    )
    return pa.array(hashed, KEY)


def key_bytes(keys: pa.ChunkedArray | pa.Array) -> NDArray[np.bytes_]:
    """Zeros where there is none."""
    whole = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    if not len(whole):
        return np.empty(0, f"S{KEY_BYTES}")
    names: NDArray[np.bytes_] = np.frombuffer(whole.buffers()[1], f"S{KEY_BYTES}")[whole.offset :][: len(whole)].copy()
    names[~whole.is_valid().to_numpy(zero_copy_only=False)] = b""
    return names


def key_column(names: NDArray[np.bytes_]) -> pa.Array:
    return _fixed(np.ascontiguousarray(names).view(np.uint8).reshape(-1, KEY_BYTES), None)


def _fixed(values: NDArray[np.uint8], is_valid: NDArray[np.bool_] | None) -> pa.Array:
    """A column of the rows of `values` (n, bytes)."""
    bits = None if is_valid is None else pa.py_buffer(np.packbits(is_valid, bitorder="little"))
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.binary(values.shape[1]), len(values), [bits, buffer])
