"""All pairs of captions whose sets of character 2-grams have a Jaccard similarity ≥ a threshold t.

    pairs, jaccard = jaccard_join(["一只猫在睡觉", "一只猫在睡觉。"], 0.8)      # [[0, 1]], [0.833]

Exact, without MinHash. Order each set from the 2-gram that is rarest in the corpus to the most frequent one. Two sets
that reach t share at least a = ⌈t·|x|⌉ of x, so their k-th common one is among the first |x| − a + k of x, and of
y (prefix filtering: Chaudhuri, Ganti and Kaushik 2006). So sets that share a rare 2-gram are candidates; in a crowd,
those that share two, then three. A 256-bit sketch dismisses most of them, the sets themselves decide.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...manifests.errors import BadInput
from ..executor.progress import progress

MAX_PAIRS = 50_000_000  # 1 GB of pairs and similarities

_CROWD = 64  # sets that share 2-grams; fewer are compared with each other at once
_MAX_SHARED = 4  # after so many there is nothing left to split by
_ALIKE_SHARE = 0.1  # a crowd in which so many neighbours are near is no smaller for being split
_MEMBERS_AT_ONCE = 1 << 20
_CHUNK = 1 << 19  # candidates whose sketches are in memory at once
_GRAMS_AT_ONCE = 1 << 22

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Pairs = NDArray[np.int64]  # (n, 2)


@dataclass(frozen=True)
class _Sets:
    """The set of row r is grams[starts[r] : starts[r + 1]]: numbers in the order of rarity, the rarest first."""

    grams: Ints
    starts: Ints
    sizes: Ints
    sketches: NDArray[np.uint64]  # (n, 4)


@dataclass(frozen=True)
class _Members:
    """Members of groups of sets that share grams: group, row, and position in the set of the last gram shared."""

    group: Ints
    row: Ints
    position: Ints

    def __getitem__(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "_Members":
        return _Members(self.group[chosen], self.row[chosen], self.position[chosen])


def jaccard_join(
    captions: list[str] | pa.Array, min_jaccard: float, *, max_pairs: int = MAX_PAIRS
) -> tuple[Pairs, NDArray[np.float32]]:
    """(n, 2) rows a < b in sorted order, and their similarity; `captions` are distinct, an empty one is near none.

    Raises BadInput when more than `max_pairs` are near.
    """
    sets = _sets_of(pa.array(captions, pa.string()) if isinstance(captions, list) else captions)
    least = _least_shared(sets.sizes, min_jaccard)
    near_pairs = _NearPairs(sets, min_jaccard, max_pairs)
    member = _members_sharing(1, sets, least, _alone(sets))
    with progress("captions", len(member.row), "2-gram") as advance:
        for count in _compared(member, 1, sets, least, near_pairs):
            advance(count)
    return near_pairs.sorted()


def _compared(member: _Members, shared: int, sets: _Sets, least: Ints, near_pairs: "_NearPairs") -> Iterator[int]:
    """Compare the sets that share `shared` grams, in crowds more. Yields how many of `member` are done."""
    num_members = len(member.row)
    member, crowd = _grouped(member, sets)
    crowded = (crowd > _CROWD) & (shared < _MAX_SHARED)
    crowded[crowded] = ~near_pairs.are_alike(member[crowded])
    near_pairs.compare(member[~crowded])
    yield num_members - int(crowded.sum())
    for some in _pieces(member[crowded]):
        # Two sets that need not share another gram might share none, and so meet in no smaller crowd.
        near_pairs.compare(some[least[some.row] <= shared])
        for _ in _compared(_members_sharing(shared + 1, sets, least, some), shared + 1, sets, least, near_pairs):
            pass
        yield len(some.row)


def _pieces(member: _Members) -> Iterator[_Members]:
    """Whole groups, as many as memory should hold: each member may become many."""
    starts = np.append(np.flatnonzero(np.diff(member.group, prepend=-1)), len(member.row))
    wanted = np.append(np.arange(0, len(member.row), _MEMBERS_AT_ONCE), len(member.row))
    edges = np.unique(starts[np.searchsorted(starts, wanted)])
    for start, stop in pairwise(edges.tolist()):
        yield member[np.arange(start, stop)]


def _least_shared(sizes: Ints, min_jaccard: float) -> Ints:
    """The least number of n grams that a near set shares: k of them give at most k / n. Not ⌈t·n⌉: ⌈0.07·100⌉ is 8."""
    least = np.maximum(np.floor(min_jaccard * sizes).astype(np.int64) - 1, 1)
    for _ in range(3):
        least += least / np.maximum(sizes, 1) < min_jaccard
    return np.asarray(least, np.int64)


def _alone(sets: _Sets) -> _Members:
    """All sets in one group, before they share anything."""
    rows = np.arange(len(sets.sizes))
    return _Members(np.zeros(len(rows), np.int64), rows, np.full(len(rows), -1, np.int64))


def _members_sharing(shared: int, sets: _Sets, least: Ints, member: _Members) -> _Members:
    """One member for every gram that may be the next that a member shares."""
    ends = sets.sizes[member.row] - np.maximum(least[member.row] - shared, 0)
    counts = np.maximum(ends - member.position - 1, 0)
    which = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    row, position = member.row[which], member.position[which] + 1 + nth
    num_grams = int(sets.grams.max(initial=0)) + 1
    return _Members(member.group[which] * num_grams + sets.grams[sets.starts[row] + position], row, position)


def _grouped(member: _Members, sets: _Sets) -> tuple[_Members, Ints]:
    """Members by group, the smallest set first, without groups of one; and the size of each member's group."""
    member = member[np.lexsort((sets.sizes[member.row], member.group))]
    new = np.diff(member.group, prepend=-1) != 0
    number = np.cumsum(new) - 1
    crowd = np.bincount(number)[number] if len(number) else number
    several = crowd > 1
    return _Members(number, member.row, member.position)[several], crowd[several]


class _NearPairs:
    """The pairs that are near: sketches dismiss most candidates, the sets decide the others in large batches."""

    def __init__(self, sets: _Sets, min_jaccard: float, max_pairs: int) -> None:
        self._sets, self._min_jaccard, self._max_pairs = sets, min_jaccard, max_pairs
        self._keys, self._jaccard = np.empty(0, np.int64), np.empty(0, np.float32)
        self._candidates: list[Ints] = []
        self._waiting = 0

    def are_alike(self, member: _Members) -> NDArray[np.bool_]:
        """Whether many of each member's group are near the one after them, by the sketches."""
        first = np.flatnonzero(member.group[1:] == member.group[:-1])
        near = self._sketches_allow(member.row[first], member.row[first + 1])
        size = int(member.group.max(initial=0)) + 1
        every = np.maximum(np.bincount(member.group[first], minlength=size), 1)
        alike: NDArray[np.bool_] = np.bincount(member.group[first], near, size) > _ALIKE_SHARE * every
        return alike[member.group]

    def compare(self, member: _Members) -> None:
        """Compare each set with all that follow it in its group."""
        for start in range(0, len(member.row), _CHUNK):
            first = np.arange(start, min(start + _CHUNK, len(member.row)))
            step = 1
            while len(first := self._in_reach(first, member, step)):
                a, b = member.row[first], member.row[first + step]
                near = self._sketches_allow(a, b)
                self._propose(np.minimum(a, b)[near], np.maximum(a, b)[near])
                step += 1

    def sorted(self) -> tuple[Pairs, NDArray[np.float32]]:
        self._decide()
        return np.column_stack(np.divmod(self._keys, max(1, len(self._sets.sizes)))), self._jaccard

    def _in_reach(self, first: Ints, member: _Members, step: int) -> Ints:
        """The members whose group has a set `step` later that is not too large; if it is, so are all that follow."""
        first = first[first + step < len(member.row)]
        first = first[member.group[first] == member.group[first + step]]
        small, large = (self._sets.sizes[member.row[index]] for index in (first, first + step))
        in_reach: Ints = first[small / large >= self._min_jaccard]
        return in_reach

    def _sketches_allow(self, a: Ints, b: Ints) -> NDArray[np.bool_]:
        """Whether few enough bits differ: each is of at least one gram that only one set has. 1e-9: rounding."""
        total = self._sets.sizes[a] + self._sets.sizes[b]
        allowed = total * ((1 - self._min_jaccard) / (1 + self._min_jaccard)) + 1e-9 * total
        sketches = self._sets.sketches
        differ = np.bitwise_count(sketches[a] ^ sketches[b]).sum(axis=1, dtype=np.int64)
        near: NDArray[np.bool_] = differ <= allowed
        return near

    def _propose(self, low: Ints, high: Ints) -> None:
        self._candidates.append(low * len(self._sets.sizes) + high)
        self._waiting += len(low)
        if self._waiting > max(_CHUNK, self._max_pairs // 4):
            self._decide()

    def _decide(self) -> None:
        fresh = _each_once(np.concatenate([np.empty(0, np.int64), *self._candidates]))
        fresh = fresh[~np.isin(fresh, self._keys, assume_unique=True)]
        jaccard = _jaccard(self._sets, fresh)
        near = jaccard >= self._min_jaccard
        keys = np.concatenate([self._keys, fresh[near]])
        order = np.argsort(keys)
        self._keys = keys[order]
        self._jaccard = np.concatenate([self._jaccard, jaccard[near].astype(np.float32)])[order]
        self._candidates, self._waiting = [], 0
        if len(keys) > self._max_pairs:
            raise BadInput(
                f"duplicates.captions: more than {self._max_pairs:,} pairs of captions are {self._min_jaccard} alike",
                cure="raise `min_jaccard`, or drop captions of one pattern with `captions.word_list`",
            )


def _jaccard(sets: _Sets, keys: Ints) -> Floats:
    """The Jaccard similarity of the rows a and b of each key a·N + b."""
    rows = np.column_stack(np.divmod(keys, max(1, len(sets.sizes))))
    totals = sets.sizes[rows].sum(axis=1)
    shared = np.empty(len(keys), np.int64)
    batch = np.cumsum(totals) // _GRAMS_AT_ONCE
    edges = np.flatnonzero(np.diff(batch, prepend=-1, append=-1)) if len(batch) else np.zeros(1, np.int64)
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        shared[start:stop] = _num_shared(sets, rows[start:stop])
    jaccard: Floats = shared / np.maximum(totals - shared, 1)
    return jaccard


def _num_shared(sets: _Sets, rows: Pairs) -> Ints:
    """Grams shared by each pair of rows, by sorting the grams of both together: shared ones lie side by side."""
    sizes = sets.sizes[rows.reshape(-1)]
    index = np.arange(sizes.sum()) + np.repeat(sets.starts[rows.reshape(-1)] - (np.cumsum(sizes) - sizes), sizes)
    pair = np.repeat(np.arange(len(rows)), sizes.reshape(-1, 2).sum(axis=1))
    num_grams = int(sets.grams.max(initial=0)) + 1
    both = np.sort(pair * num_grams + sets.grams[index])
    twice = both[1:][both[1:] == both[:-1]]
    return np.bincount(twice // num_grams, minlength=len(rows))


def _sets_of(captions: pa.Array) -> _Sets:
    grams, row = _grams_of(captions)
    encoded = pa.array(grams).dictionary_encode()  # by hashing: np.unique would sort them all
    values, gram = encoded.dictionary.to_numpy(), encoded.indices.to_numpy()
    by_rarity = np.lexsort((values, np.bincount(gram, minlength=len(values))))  # whatever the order of the captions
    rarity = np.empty(len(values), np.int64)
    rarity[by_rarity] = np.arange(len(values))
    num_grams = max(1, len(values))
    row, gram = np.divmod(_each_once(row * num_grams + rarity[gram]), num_grams)
    sizes = np.bincount(row, minlength=len(captions))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return _Sets(gram, starts, sizes, _sketches(values[by_rarity][gram], starts))


def _grams_of(captions: pa.Array) -> tuple[NDArray[np.uint64], Ints]:
    """Every 2-gram as a number, and the row that it is of; of a caption of one character, that character."""
    codes = np.frombuffer("".join(captions.to_pylist()).encode("utf-32-le"), np.uint32).astype(np.uint64)
    lengths = pc.utf8_length(captions).to_numpy(zero_copy_only=False).astype(np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    following = np.append(codes[1:], np.uint64(0))[: len(codes)]
    ends = np.cumsum(lengths)[lengths > 0] - 1
    following[ends] = 0x1FFFFF  # no character
    kept = np.ones(len(codes), np.bool_)
    kept[ends] = lengths[row[ends]] == 1
    return ((codes << np.uint64(21)) | following)[kept], row[kept]


def _each_once(keys: Ints) -> Ints:
    """The distinct keys, sorted, as by np.unique, which took fifteen times as long on such keys."""
    keys = np.sort(keys)
    once: Ints = keys[np.diff(keys, prepend=-1) != 0]
    return once


def _sketches(values: NDArray[np.uint64], starts: Ints) -> NDArray[np.uint64]:
    """(n, 4): of 256 bits, each the parity of the grams that a multiplicative hash (Dietzfelbinger 1997) gives it."""
    bit = (values * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(56)
    mask = np.uint64(1) << (bit & np.uint64(63))
    sketches = np.zeros((len(starts) - 1, 4), np.uint64)
    filled = np.flatnonzero(np.diff(starts))
    for word in range(4):
        mine = np.where(bit >> np.uint64(6) == word, mask, np.uint64(0))
        sketches[filled, word] = np.bitwise_xor.reduceat(mine, starts[filled])
    return sketches
