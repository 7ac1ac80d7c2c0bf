"""A keyed bijection of 0 … n−1: the row at each index of an epoch, and the inverse.

An 8-round Feistel network on (n−1).bit_length() bits, whose round function is the finaliser of splitmix64, with
cycle-walking: a value outside 0 … n−1 is encrypted again, fewer than 2 times on average, since 2^bits < 2n. Nothing is
stored, so a corpus of any size costs the same, and the inverse is exact.

    rows = Permutation(n=7582, seed=0, source="sha256:…", epoch=3).forward(np.arange(64, dtype=np.uint64))

Fewer rounds are biased (4 and 6 fail a χ² test at n = 10), and bits taken from n instead of n−1 lose a record at
n = 2^k + 1. Finaliser: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), with the constants
of Stafford's mix 13.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

VERSION = "tuwen/permutation/1"
_ROUNDS = 8
_MOST_TABLE_BITS = 16  # of half a value: up to 2^32 rows
_WORTH_TABLES = 2048  # values at once

U64 = NDArray[np.uint64]


@dataclass(frozen=True)
class Permutation:
    """`forward`: index in the epoch → row. `inverse`: row → index. Both map uint64 arrays of any shape."""

    n: int
    seed: int
    source: str
    epoch: int

    def __post_init__(self) -> None:
        if not 0 <= self.n < 1 << 63:
            raise ValueError(f"n is {self.n}; a permutation needs 0 <= n < 2**63")

    def forward(self, indices: U64) -> U64:
        return self._walk(indices, self._encrypt)

    def inverse(self, rows: U64) -> U64:
        return self._walk(rows, self._decrypt)

    @cached_property
    def _keys(self) -> list[np.uint64]:
        # The fields are length-prefixed, so that ("ab", "c") and ("a", "bc") have different keys.
        digest = hashlib.blake2b(digest_size=8 * _ROUNDS)
        for field in (VERSION, str(self.seed), self.source, str(self.epoch)):
            data = field.encode()
            digest.update(len(data).to_bytes(8, "little") + data)
        return list(np.frombuffer(digest.digest(), dtype="<u8").astype(np.uint64))

    @cached_property
    def _widths(self) -> tuple[np.uint64, np.uint64]:
        """Bits of the left and of the right half before the first round; each round swaps the halves."""
        bits = max(self.n - 1, 0).bit_length()
        return np.uint64(bits // 2), np.uint64(bits - bits // 2)

    def _walk(self, values: U64, step: Callable[[U64], U64]) -> U64:
        values = np.asarray(values, dtype=np.uint64)
        if values.size and int(values.max()) >= self.n:
            raise ValueError(f"{int(values.max())} is outside 0 … {self.n - 1}")
        if self.n <= 1:
            return values.copy()
        flat = step(values.reshape(-1))
        outside = np.flatnonzero(flat >= self.n)
        while outside.size:
            flat[outside] = step(flat[outside])
            outside = outside[flat[outside] >= self.n]
        return flat.reshape(values.shape)

    def _encrypt(self, values: U64) -> U64:
        if len(values) >= _WORTH_TABLES and self._tables is not None:
            return self._encrypt_by_tables(values)
        left_width, right_width = self._widths
        left, right = values >> right_width, values & _mask(right_width)
        for key in self._keys:
            left, right = right, left ^ (_mix(right + key) & _mask(left_width))
            left_width, right_width = right_width, left_width
        return (left << right_width) | right

    def _decrypt(self, values: U64) -> U64:
        left_width, right_width = self._widths  # 8 rounds: the halves end where they began
        left, right = values >> right_width, values & _mask(right_width)
        for key in reversed(self._keys):
            left_width, right_width = right_width, left_width
            left, right = right ^ (_mix(left + key) & _mask(left_width)), left
        return (left << right_width) | right

    @cached_property
    def _tables(self) -> list[NDArray[np.uint16]] | None:
        """Every answer of each round's function, when there are few."""
        left_width, right_width = self._widths
        if right_width > _MOST_TABLE_BITS:
            return None
        tables = []
        for key in self._keys:
            answers = _mix(np.arange(1 << int(right_width), dtype=np.uint64) + key) & _mask(left_width)
            tables.append(answers.astype(np.uint16))
            left_width, right_width = right_width, left_width
        return tables

    def _encrypt_by_tables(self, values: U64) -> U64:
        assert self._tables is not None
        right_width = self._widths[1].view(np.int64)
        both = values.view(np.int64)
        left, right = both >> right_width, both & ((1 << int(right_width)) - 1)
        for table in self._tables:
            left, right = right, left ^ table[right]
        return ((left << right_width) | right).view(np.uint64)


def _mask(width: np.uint64) -> np.uint64:
    return np.uint64((1 << int(width)) - 1)


def _mix(values: U64) -> U64:
    """Return splitmix64's finaliser of the values; uint64 arithmetic wraps on purpose."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
