"""What is read at a position, and when a pair is read: the order asked both ways, with keys for rows.

keys_at(manifest, order, position=640, count=64)
reads_of_key(manifest, order, "8033e9b5…", batch=64, epochs=3)
"""

import numpy as np

from ..errors import BadInput
from ..manifest import Manifest
from ..shards.split_reader import SplitReader
from .order import Order


def keys_at(shards: Manifest, order: Order, position: int, count: int, split: str = "train") -> list[str]:
    """The keys read at positions position … position + count − 1."""
    rows = order.rows(position + np.arange(count))
    return [str(meta["key"]) for meta in SplitReader(shards, split).metas(rows)]


def reads_of_key(
    shards: Manifest, order: Order, key: str, batch: int, epochs: int, split: str = "train"
) -> list[dict[str, int]]:
    """When a pair is read, once an epoch of its source. Raises BadInput for a key of another split."""
    row = SplitReader(shards, split).find(key)
    if row is None:
        raise BadInput(f"{key}: not in the split `{split}`", cure="`tuwen why` says where it went")
    return [
        {"epoch": epoch, "position": position, "step": position // batch}
        for epoch, position in enumerate(order.positions(row, epochs))
    ]
