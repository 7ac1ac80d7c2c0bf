"""All pairs of 64-bit codes within a few bits of each other: exact, without a shuffle.

    pairs = hamming_pairs(codes, radius=4)          # (n, 2) rows a < b, sorted; codes distinct

Cut the bits into m blocks. A pair within the radius spoils at most `radius` of them, so m - radius are intact. Deal the
blocks into g groups: if (k - 1) g + 1 are intact, some group has k of them. So with m = radius + (k - 1) g + 1, one
table for every k blocks of one group misses no pair, whatever the codes (radius 4: k = 3, g = 2 are 14 tables keyed by
21 bits; one group would need 15). The cheapest k and g are chosen by the number of codes and the entropy of their bits.

A table moves its blocks to the top of the codes, sorts, and compares along each run of equal keys: no row numbers, no
gather, 8 bytes a code. A run that is too long is joined again by the bits in which its codes still differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from math import comb

import numpy as np
import ray
from numpy.typing import NDArray

from ..executor.progress import progress

U64 = NDArray[np.uint64]
Ints = NDArray[np.int64]
Pairs = NDArray[np.int64]  # (n, 2)

_SORT_NS = 70.0  # a code a table: move, sort, look at the next
_PASS_NS = 8.0  # a code: move, and leave to another slice
_COMPARE_NS = 2.0  # two codes of one run
_TABLE_NS = 2e5  # a table, however few codes

_STRIP = 1 << 15  # codes compared at a time: the temporaries stay in the second cache
_LONG_RUN = 512  # a longer run is joined again: comparing all of its pairs would cost more
_SLICE_CODES = 1 << 26  # a task sorts about so many, 512 MiB, however many codes there are
_SAMPLE = 1 << 14  # codes that say which tables are cheapest
_SMALL_NS = 3e8  # less work than this is done at once: sending it to a worker takes as long


def hamming_pairs(codes: U64, radius: int) -> Pairs:
    """All pairs of rows a < b whose codes differ in at most `radius` bits, each once; the codes must be distinct.

    A task holds 8 bytes for each code of its slice, besides the codes, which all tasks of a node share, and some 60 for
    each pair that it finds; a run of equal keys that is joined again takes 8 more for each of its codes.
    """
    if len(codes) < 2 or radius < 1:
        return np.empty((0, 2), np.int64)
    order = None if (codes[1:] > codes[:-1]).all() else np.argsort(codes)
    ordered = codes if order is None else codes[order]
    plan = plan_tables(ordered, radius)
    if plan.nanoseconds < _SMALL_NS:
        jobs_pairs = [_pairs_of_job(ordered, plan, *job) for job in plan.jobs()]
    else:
        jobs_pairs = _by_ray(ordered, plan)
    numbers = np.sort(np.concatenate(jobs_pairs))  # a * len(codes) + b
    pairs = np.column_stack(np.divmod(numbers, len(codes)))
    if order is None:
        return pairs
    pairs = np.sort(order[pairs], axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


@dataclass(frozen=True)
class Plan:
    """The bits that are the key of each table, and the number of slices in which a table is processed."""

    masks: tuple[int, ...]
    radius: int
    slices: int
    nanoseconds: float  # of one core, as estimated

    def jobs(self) -> list[tuple[int, int]]:
        """The tables and their slices, one after another."""
        return [(number, part) for number in range(len(self.masks)) for part in range(self.slices)]


def plan_tables(codes: U64, radius: int, num: int | None = None) -> Plan:
    """The cheapest cover of `num` codes like these; a single table without a key compares all pairs.

    Only speed depends on how well the sample speaks for them.
    """
    sample, num = codes[:: max(1, len(codes) // _SAMPLE)], num or len(codes)
    entropy = _entropy(sample)
    bits, slice_bits = float(entropy.sum()), ((num - 1) // _SLICE_CODES).bit_length()

    def table_ns(equal_keys: float) -> float:
        sorting = num * (_SORT_NS + _PASS_NS * ((1 << slice_bits) - 1))  # each slice is picked from all codes
        return _TABLE_NS + sorting + _COMPARE_NS * num * num / 2 * equal_keys

    choices = []
    for k in range(1, 9):
        for g in range(1, radius + 2):
            if (num_blocks := radius + (k - 1) * g + 1) <= bits:
                num_tables = sum(comb(size, k) for size in _group_sizes(num_blocks, g))
                choices.append((num_tables * table_ns(2 ** -(bits * k / num_blocks)), k, g))
    best = Plan((0,), radius, 1, _TABLE_NS + _COMPARE_NS * num * num / 2)
    for at_least, k, g in sorted(choices):  # if bits were independent; those of pictures are not quite
        if at_least >= best.nanoseconds:
            break
        masks = _masks(entropy, radius, k, g)
        slices = 1 << min(slice_bits, *(mask.bit_count() for mask in masks))
        each = max(table_ns(_equal_keys(sample, masks)), at_least / len(masks))
        best = min(best, Plan(masks, radius, slices, len(masks) * each), key=lambda plan: plan.nanoseconds)
    return best


def _entropy(codes: U64) -> NDArray[np.float64]:
    """(64,): the entropy of each bit, 1 where half of the codes have it."""
    octets = codes.astype("<u8").view(np.uint8).reshape(-1, 8)
    share = np.unpackbits(octets, axis=1, bitorder="little").mean(axis=0)
    share = np.stack([share, 1 - share])
    entropy: NDArray[np.float64] = -(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=0)
    return entropy


def _equal_keys(codes: U64, masks: tuple[int, ...]) -> float:
    """The share of pairs that have the same key, in the mean of a few tables."""
    shares = []
    for mask in masks[:: -(-len(masks) // 4)]:
        counts = np.unique(codes & np.uint64(mask), return_counts=True)[1]
        shares.append((counts * (counts - 1)).sum() / (len(codes) * (len(codes) - 1)))
    return float(np.mean(shares))


def _group_sizes(num_blocks: int, num_groups: int) -> list[int]:
    return [(num_blocks + number) // num_groups for number in range(num_groups)]


def _masks(entropy: NDArray[np.float64], radius: int, k: int, g: int) -> tuple[int, ...]:
    """The union of every k blocks of a group. Each bit is in one block, and blocks have about the same entropy."""
    num_blocks = radius + (k - 1) * g + 1
    middle = np.cumsum(entropy) - entropy / 2
    block = np.minimum(middle * (num_blocks / entropy.sum()), num_blocks - 1).astype(int).tolist()
    blocks = [sum(1 << bit for bit in range(64) if block[bit] == number) for number in range(num_blocks)]
    masks = []
    for size in _group_sizes(num_blocks, g):
        group, blocks = blocks[:size], blocks[size:]
        masks += [sum(kept) for kept in combinations(group, k)]
    return tuple(masks)


def _by_ray(ordered: U64, plan: Plan) -> list[Ints]:
    shared = ray.put(ordered)
    task = ray.remote(num_cpus=1)(_pairs_of_job)
    waiting = [task.remote(shared, plan, *job) for job in plan.jobs()]
    jobs_pairs = []
    with progress("match", len(waiting), "table") as advance:
        for each in waiting:
            jobs_pairs.append(ray.get(each))
            advance()
    return jobs_pairs


def _pairs_of_job(ordered: U64, plan: Plan, number: int, part: int) -> Ints:
    """The pairs that belong to one slice of one table, each as a * len(ordered) + b."""
    pairs = np.concatenate(_pairs_of_table(ordered, plan, number, part))
    order = np.argsort(pairs)
    rows = np.empty(len(pairs), np.int64)
    rows[order] = np.searchsorted(ordered, pairs[order])  # in order: at random each is a walk through cold memory
    a, b = rows.reshape(2, -1)
    numbers: Ints = np.minimum(a, b) * len(ordered) + np.maximum(a, b)
    return numbers


def _pairs_of_table(codes: U64, plan: Plan, number: int, part: int) -> tuple[U64, U64]:
    """The codes of each pair. One that agrees in the keys of several tables belongs to the first of them."""
    mask = plan.masks[number]
    moves = _moves_to_the_top(mask)
    keyed = _slice_of_table(codes, moves, plan.slices, part)
    keyed.sort()
    below_key = np.uint64((1 << 64 - mask.bit_count()) - 1)
    near = list(_pairs_of_runs(keyed, below_key, plan.radius))
    a, b = (_moved(np.concatenate([pair[side] for pair in near]), _back(moves)) for side in (0, 1))
    for earlier in plan.masks[:number]:
        mine = ((a ^ b) & np.uint64(earlier)) != 0
        a, b = a[mine], b[mine]
    return a, b


Moves = list[tuple[int, int, int]]  # from bit, to bit, number of bits


def _moves_to_the_top(mask: int) -> Moves:
    """Moves of runs of bits: those of the mask go to the top, the others below, in their order."""
    moves: Moves = []
    to = 64
    for wanted in (1, 0):
        bits = [bit for bit in reversed(range(64)) if mask >> bit & 1 == wanted]
        for bit in bits:
            to -= 1
            if moves and moves[-1][0] - bit == 1 and moves[-1][1] - to == 1:
                moves[-1] = (bit, to, moves[-1][2] + 1)
            else:
                moves.append((bit, to, 1))
    return moves


def _back(moves: Moves) -> Moves:
    return [(to, bit, size) for bit, to, size in moves]


def _moved(codes: U64, moves: Moves) -> U64:
    return reduce(
        np.bitwise_or,
        [(codes >> np.uint64(bit) & np.uint64((1 << size) - 1)) << np.uint64(to) for bit, to, size in moves],
    )


def _slice_of_table(codes: U64, moves: Moves, slices: int, part: int) -> U64:
    """The moved codes whose first bits are `part`. In strips: only the result takes memory."""
    if slices == 1:
        keyed = np.empty_like(codes)
        for start in range(0, len(codes), _STRIP):
            keyed[start : start + _STRIP] = _moved(codes[start : start + _STRIP], moves)
        return keyed
    shift = np.uint64(65 - slices.bit_length())
    strips = (_moved(codes[start : start + _STRIP], moves) for start in range(0, len(codes), _STRIP))
    return np.concatenate([strip[strip >> shift == part] for strip in strips])


def _pairs_of_runs(keyed: U64, below_key: np.uint64, radius: int) -> Iterator[tuple[U64, U64]]:
    """The near pairs with equal keys. `keyed` is sorted; equal keys differ only in the bits of `below_key`."""
    yield keyed[:0], keyed[:0]
    longest = len(keyed) if below_key == np.uint64(2**64 - 1) else _LONG_RUN  # no key: one run that must be compared
    cold = 0
    for start, stop in _long_runs(keyed, below_key, longest):
        yield from _compared(keyed[cold:start], below_key, longest, radius)
        run = plan_tables(keyed[start:stop], radius)
        yield from (_pairs_of_table(keyed[start:stop], run, *job) for job in run.jobs())
        cold = stop
    yield from _compared(keyed[cold:], below_key, longest, radius)


def _long_runs(keyed: U64, below_key: np.uint64, longest: int) -> Iterator[tuple[int, int]]:
    keys: list[U64] = []
    for start in range(0, len(keyed) - longest, _STRIP):
        ends = keyed[start + longest : start + longest + _STRIP]
        same = (keyed[start : start + len(ends)] ^ ends) <= below_key
        keys.append(np.unique(keyed[start : start + len(ends)][same] & ~below_key))
    for key in np.unique(np.concatenate(keys)) if keys else ():
        yield int(np.searchsorted(keyed, key)), int(np.searchsorted(keyed, key | below_key, side="right"))


def _compared(keyed: U64, below_key: np.uint64, longest: int, radius: int) -> Iterator[tuple[U64, U64]]:
    """The near pairs of each code and those that follow it in its run: the next one, the next but one, and so on."""
    for start in range(0, len(keyed), _STRIP):
        strip, count = keyed[start : start + _STRIP + longest], min(_STRIP, len(keyed) - start)
        step, company = 1, count
        while company * 4 > count:  # while most have company, slices are faster than picking
            ends = strip[step : step + count]
            difference = ends ^ strip[: len(ends)]
            same = difference <= below_key
            near = np.flatnonzero(same & (np.bitwise_count(difference) <= radius))
            yield strip[near], strip[near + step]
            step, company = step + 1, int(np.count_nonzero(same))
        first = np.flatnonzero(same)
        while first.size:
            first = first[first < len(strip) - step]
            difference = strip[first] ^ strip[first + step]
            same = difference <= below_key
            first, difference = first[same], difference[same]
            near = first[np.bitwise_count(difference) <= radius]
            yield strip[near], strip[near + step]
            step += 1
