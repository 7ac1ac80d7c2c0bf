"""What every peer is given, and what a peer is.

The raw data is a folder with codes.npy (N, 1024) uint16, text.npy (the caption token ids of all rows, one after the
other, uint16) and text_ptr.npy (N + 1, int64: row i has the ids text[text_ptr[i]:text_ptr[i + 1]]).
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CODES_PER_ROW = 1024
BATCH_ROWS = 512
BLOCK_ROWS = 4096
Sample = tuple[np.ndarray, np.ndarray]
Batch = tuple[np.ndarray, list[np.ndarray]]


class Block(NamedTuple):
    """Some rows: codes (rows, 1024), their caption ids one after the other, and where each caption starts."""

    codes: np.ndarray
    text: np.ndarray
    ptr: np.ndarray

    def samples(self) -> Iterator[Sample]:
        bounds = self.ptr.tolist()
        for row, start, stop in zip(self.codes, bounds, bounds[1:], strict=False):
            yield row, self.text[start:stop]

    def batches(self, rng: np.random.Generator | None) -> Iterator[Batch]:
        """Batches of BATCH_ROWS rows, permuted by rng, or in order and as views of the block without one."""
        order = None if rng is None else rng.permutation(len(self.codes))
        for start in range(0, len(self.codes), BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS) if order is None else order[start : start + BATCH_ROWS]
            bounds = zip(self.ptr[:-1][rows].tolist(), self.ptr[1:][rows].tolist(), strict=True)
            yield self.codes[rows], [self.text[first:last] for first, last in bounds]


@dataclass(frozen=True)
class Raw:
    """The raw data, mapped."""

    codes: np.ndarray
    text: np.ndarray
    ptr: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> "Raw":
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("codes", "text", "text_ptr")))

    def spans(self) -> list[tuple[int, int]]:
        rows = len(self.codes)
        return [(start, min(start + BLOCK_ROWS, rows)) for start in range(0, rows, BLOCK_ROWS)]

    def block(self, start: int, stop: int) -> Block:
        ptr = np.array(self.ptr[start : stop + 1])
        return Block(np.array(self.codes[start:stop]), np.array(self.text[ptr[0] : ptr[-1]]), ptr - ptr[0])

    def blocks(self) -> Iterator[Block]:
        return itertools.starmap(self.block, self.spans())

    def samples(self) -> Iterator[Sample]:
        return itertools.chain.from_iterable(block.samples() for block in self.blocks())


@dataclass(frozen=True)
class Peer:
    """How one peer writes a folder, reads it (the folder, whether to shuffle) endlessly, and what its orders mean."""

    package: str
    write: Callable[[Path, Path], None]
    read: Callable[[Path, bool], Iterator[tuple[Any, ...]]]
    file_order: str
    shuffled: str | None
    batched: bool = False


def block_rng(shuffled: bool) -> np.random.Generator | None:
    return np.random.default_rng(0) if shuffled else None
