"""The order with keys for rows: the keys that are read at a position, and the positions at which a key is read.

keys = keys_at(manifest, order, position=640, count=64)
reads = reads_of_key(manifest, order, "8033e9b5…", batch=64, epochs=3)
"""

from typing import TypedDict

import numpy as np

from ..errors import BadInput
from ..manifest import Manifest
from ..shards.split_reader import SplitReader
from .order import Order

_KEY_DIGITS = 32


class Read(TypedDict):
    """One read of a pair in training."""

    epoch: int  # of the pair's source
    position: int  # samples read before
    step: int


def keys_at(shards: Manifest, order: Order, position: int, count: int, split: str = "train") -> list[str]:
    """Return the keys read at positions position … position + count − 1."""
    rows = order.rows(position + np.arange(count))
    return [meta["key"] for meta in SplitReader(shards, split).metas(rows)]


def reads_of_key(shards: Manifest, order: Order, key: str, batch: int, epochs: int, split: str = "train") -> list[Read]:
    """Return one read an epoch, for the first `epochs` epochs.

    `key` may be the first digits of one; `batch` is the global batch: samples a step. Raises BadInput for a key that
    the split does not hold, and for digits with which several begin.
    """
    row = _row_of(SplitReader(shards, split), key.lower())
    positions = order.positions(row, epochs)
    return [Read(epoch=epoch, position=at, step=at // batch) for epoch, at in enumerate(positions)]


def _row_of(reader: SplitReader, key: str) -> int:
    if len(key) == _KEY_DIGITS:
        rows = [row for row in [reader.find(key)] if row is not None]
    else:
        rows = [row for row, meta in enumerate(reader.all_meta()) if meta["key"].startswith(key)]
    if not rows:
        raise BadInput(f"{key}: not in the split `{reader.split}`", cure="`tuwen why` says where it went")
    if len(rows) > 1:
        raise BadInput(f"{key}: {len(rows):,} keys of `{reader.split}` begin so", cure="give more of its digits")
    return rows[0]
