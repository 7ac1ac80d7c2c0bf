"""Which row is read at which position, as a pure function, and back.

    order = Order(source=f"{manifest.id}/train", num_rows=7213, seed=0)
    order.rows(np.arange(128))              # the rows at global positions 0 … 127
    order.positions(row=5, num_epochs=3)    # when that row is read

A position counts samples from the start of training. Position p lies in epoch p ÷ n, and every epoch has a
permutation of its own, so each row is read exactly once an epoch, for any number of ranks and any place of resuming.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .canonical import sha256_of
from .errors import BadInput
from .manifest import Manifest
from .permutation import VERSION, Permutation
from .split_reader import SplitReader


@dataclass(frozen=True)
class Order:
    source: str
    num_rows: int
    seed: int

    @property
    def id(self) -> str:
        """Two orders with one id read the same rows at the same positions."""
        return sha256_of(
            {
                "permutation": VERSION,
                "shuffle": "global",
                "source": self.source,
                "rows": self.num_rows,
                "seed": self.seed,
            }
        )

    def rows(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        epochs, indices = np.divmod(positions, self.num_rows)
        rows = np.empty(len(positions), dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            rows[here] = self._permutation(epoch).forward(indices[here].astype(np.uint64)).astype(np.int64)
        return rows

    def positions(self, row: int, num_epochs: int) -> list[int]:
        """The position of `row` in each of the first epochs."""
        one = np.array([row], dtype=np.uint64)
        return [epoch * self.num_rows + int(self._permutation(epoch).inverse(one)[0]) for epoch in range(num_epochs)]

    def _permutation(self, epoch: int) -> Permutation:
        return _permutation(self.num_rows, self.seed, self.source, epoch)


@lru_cache(maxsize=8)
def _permutation(n: int, seed: int, source: str, epoch: int) -> Permutation:
    return Permutation(n, seed, source, epoch)


def keys_at(shards: Manifest, seed: int, position: int, count: int, split: str = "train") -> list[str]:
    """The keys read at positions position … position + count − 1."""
    reader = SplitReader(shards, split)
    rows = Order(reader.source, len(reader), seed).rows(position + np.arange(count))
    return [reader.meta(row)["key"] for row in rows.tolist()]


def readings_of(
    shards: Manifest, key: str, seed: int, batch: int, epochs: int, split: str = "train"
) -> list[dict[str, int]]:
    """Where and in which step a pair is read, once an epoch. Raises BadInput for a key that is not in the split."""
    reader = SplitReader(shards, split)
    row = reader.find(key)
    if row is None:
        raise BadInput(f"{key}: not in the split `{split}`", cure="`tuwen why` says where it went")
    positions = Order(reader.source, len(reader), seed).positions(row, epochs)
    return [
        {"epoch": epoch, "position": position, "step": position // batch} for epoch, position in enumerate(positions)
    ]
