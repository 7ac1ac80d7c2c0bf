"""The leader of each picture, best first: a picture is dropped only for a leader, which is kept itself.

    near_duplicates = leader_pass(near, rank, protected, compare)       # a NearDuplicates, over the pictures of `near`

Comes in: pictures that are proposed as near one another (`Neighbours`), their rank, and `compare`, which compares two
of them. Goes out: the leader of each picture, and ties enough to connect all that are near. The outcome is that of
going through the pictures one by one, best first; but all pictures whose better neighbours are decided are decided at
once, and only leaders are compared: a thousand copies of one picture cost a thousand comparisons, not half a million.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .components import components

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
# (a, b, the PIL.Image.Transpose of a, or −1) → difference; near-duplicates differ by at most 1
Compare = Callable[[Ints, Ints, Ints], Floats]

_PAIRS_AT_ONCE = 1_000_000  # candidates held in memory, 24 bytes each


@dataclass(frozen=True)
class Neighbours:
    """Pictures by number, their codes by number, and which codes are near one another."""

    codes: Ints  # (n, 1) the picture's code, or (n, 8) also those of its flips and rotations
    near: Ints  # (m, 2) pairs of distinct codes within the radius
    certain: Ints  # (k, 2) pairs of pictures that are duplicates whatever their codes


@dataclass(frozen=True)
class NearDuplicates:
    leader: Ints  # the kept picture that is most alike; the picture itself if it is kept
    difference: Floats  # from the leader; 0 if it is kept, not a number where only the embeddings are alike
    ties: Ints  # (t, 2) near-duplicates, enough of them to connect all that are near in any number of steps


def leader_pass(near: Neighbours, rank: Ints, protected: Mask, compare: Compare) -> NearDuplicates:
    """The near-duplicates. `rank` is 0 for the best; `protected` pictures have the best ranks and are always kept."""
    index = _Index(near)
    undecided = np.ones(len(rank), np.bool_)
    leads = np.zeros(len(rank), np.bool_)
    alike = _Alike()
    while undecided.any():
        ready = undecided & (protected | (index.best_near(rank, undecided) >= rank))
        leads |= ready
        undecided &= ~ready
        for a, b, transpose in index.followers(ready):
            worse = rank[a] < rank[b]
            alike.compare(a[worse], b[worse], transpose[worse], compare)
        a, b = index.certain_followers(ready)
        worse = rank[a] < rank[b]
        alike.add(a[worse], b[worse], np.full(worse.sum(), np.nan, np.float32))
        dropped = alike.last_round()
        undecided[dropped] = False
    a, b, difference = alike.pairs()
    leader, least = _nearest(a, b, difference, rank, protected)
    ties = np.column_stack([a, b])
    return NearDuplicates(leader, least, np.concatenate([ties, *_missing_ties(index, ties, leads, rank, compare)]))


def _missing_ties(index: "_Index", ties: Ints, leads: Mask, rank: Ints, compare: Compare) -> list[Ints]:
    """Ties between pictures that nothing connects yet: two that were dropped for different leaders may be near."""
    label = components(len(rank), np.concatenate([ties, index.certain]))
    alike = _Alike()
    for a, b, transpose in index.followers(~leads, label):
        worse = (rank[a] < rank[b]) & (label[a] != label[b])
        alike.compare(a[worse], b[worse], transpose[worse], compare)
    a, b, _ = alike.pairs()
    return [np.column_stack([a, b]), index.certain]


def _nearest(a: Ints, b: Ints, difference: Floats, rank: Ints, protected: Mask) -> tuple[Ints, Floats]:
    """The leader of each picture: a protected one before others, then the most alike, then the best."""
    leader, least = np.arange(len(rank)), np.zeros(len(rank), np.float32)
    droppable = ~protected[b]
    a, b, difference = a[droppable], b[droppable], difference[droppable]
    order = np.lexsort((rank[a], difference, ~protected[a], b))  # not a number sorts last
    first = order[np.flatnonzero(np.diff(b[order], prepend=-1))]
    leader[b[first]], least[b[first]] = a[first], difference[first]
    return leader, least


class _Alike:
    """Pairs of leader and follower that are near-duplicates, as they are found."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Ints, Ints, Floats]] = []
        self._seen = 0

    def compare(self, a: Ints, b: Ints, transpose: Ints, compare: Compare) -> None:
        difference = compare(a, b, transpose)
        alike = difference <= 1
        self.add(a[alike], b[alike], difference[alike])

    def add(self, a: Ints, b: Ints, difference: Floats) -> None:
        if len(a):
            self._pairs.append((a, b, difference))

    def last_round(self) -> Ints:
        """The followers that were found since the last call."""
        fresh, self._seen = self._pairs[self._seen :], len(self._pairs)
        return np.concatenate([np.empty(0, np.int64), *(b for _, b, _ in fresh)])

    def pairs(self) -> tuple[Ints, Ints, Floats]:
        nothing = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        a, b, difference = (np.concatenate(column) for column in zip(nothing, *self._pairs, strict=True))
        return a, b, difference


class _Index:
    """Near pictures by their codes: any code of one picture is compared with the upright code of the other."""

    def __init__(self, near: Neighbours) -> None:
        self._codes, self.certain = near.codes, near.certain
        num_codes = int(near.codes.max(initial=-1)) + 1
        itself = np.arange(num_codes)
        both = np.concatenate([near.near, near.near[:, ::-1], np.column_stack([itself, itself])])
        self._beside = _Table(both[:, 0], both[:, 1], num_codes)  # code → codes within the radius, itself too
        self._by_code = _Table(near.codes[:, 0], np.arange(len(near.codes)), num_codes)  # code → upright pictures
        twice = np.concatenate([near.certain, near.certain[:, ::-1]])
        self._by_picture = _Table(twice[:, 0], twice[:, 1], len(near.codes))

    def best_near(self, rank: Ints, undecided: Mask) -> Ints:
        """The best rank among the undecided pictures near each picture, its own included."""
        nobody = len(rank)
        best = np.full(len(self._beside.start) - 1, nobody)
        width = self._codes.shape[1]
        np.minimum.at(best, self._codes[undecided].reshape(-1), np.repeat(rank[undecided], width))
        around = np.minimum.reduceat(best[self._beside.values], self._beside.start[:-1])
        best_rank: Ints = around[self._codes[:, 0]]
        if len(self.certain):
            a, b = np.concatenate([self.certain, self.certain[:, ::-1]]).T
            np.minimum.at(best_rank, a[undecided[b]], rank[b[undecided[b]]])
        return best_rank

    def followers(self, leaders: Mask, label: Ints | None = None) -> Iterator[tuple[Ints, Ints, Ints]]:
        """(a, b, transpose): the code of leader `a`, transposed so, is near that of `b`. In pieces of bounded size.

        With `label`, codes around which all pictures have one label are skipped: they would connect nothing new.
        """
        rows = np.flatnonzero(leaders)
        width = self._codes.shape[1]
        owner = np.repeat(rows, width)
        transpose = np.tile(np.arange(width) - 1, len(rows))
        at, code = self._beside.values_of(self._codes[rows].reshape(-1))
        owner, transpose = owner[at], transpose[at]
        if label is not None:
            mixed = self._mixed(label, owner, code)
            owner, transpose, code = owner[mixed], transpose[mixed], code[mixed]
        for piece in _pieces(self._by_code.count[code]):
            at, b = self._by_code.values_of(code[piece])
            a = owner[piece][at]
            other = a != b
            yield a[other], b[other], transpose[piece][at][other]

    def _mixed(self, label: Ints, owner: Ints, code: Ints) -> Mask:
        """Whether some picture with `code` has another label than `owner`."""
        num_codes = len(self._by_code.count)
        low, high = np.full(num_codes, len(label)), np.full(num_codes, -1)
        np.minimum.at(low, self._codes[:, 0], label)
        np.maximum.at(high, self._codes[:, 0], label)
        mixed: Mask = (self._by_code.count[code] > 0) & ((low[code] != label[owner]) | (high[code] != label[owner]))
        return mixed

    def certain_followers(self, leaders: Mask) -> tuple[Ints, Ints]:
        rows = np.flatnonzero(leaders)
        at, b = self._by_picture.values_of(rows)
        return rows[at], b


class _Table:
    """A ragged array: several values a key."""

    def __init__(self, keys: Ints, values: Ints, num_keys: int) -> None:
        order = np.argsort(keys, kind="stable")
        self.values = values[order]
        self.count = np.bincount(keys, minlength=num_keys)
        self.start = np.concatenate([[0], np.cumsum(self.count)])

    def values_of(self, keys: Ints) -> tuple[Ints, Ints]:
        """For every value of every key: the index of its key in `keys`, and the value."""
        count = self.count[keys]
        at = np.repeat(np.arange(len(keys)), count)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return at, self.values[self.start[keys][at] + within]


def _pieces(sizes: Ints) -> Iterator[slice]:
    """Slices of `sizes` that sum to about _PAIRS_AT_ONCE; one that is larger stands alone."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")))
        yield slice(start, stop)
        start = stop
