"""Which pictures are near-twins: an exact Hamming join proposes, colour decides.

    edges = near_edges(phash64, thumbnails)         # (a, b, distance), a < b

Candidates. Cut 64 bits into m = radius + 3 blocks; two codes within the radius differ in at most `radius`
blocks, so at least 3 are intact, and the C(m, 3) tables keyed by three blocks miss no pair. A table is one
Ray task over the broadcast codes: mask, sort, scan the runs. No shuffle, no approximate index.

Verification. Equal luminance is not equal colour (France and Guinea), so the 32x32 RGB thumbnails must agree
in every cell. The threshold is measured on the emoji: JPEG at quality 50 moves the worst cell by 13 at the 90th
percentile of pictures, scaling by 0.35 by 8; another skin tone on the smallest hand moves one by 22 at least.
"""

from collections.abc import Callable
from itertools import combinations, pairwise

import numpy as np
import ray
from numpy.typing import NDArray

from ..progress import progress

RADIUS = 4  # bits of 64; distances of median-threshold hashes are almost always even
MAX_CELL_DIFFERENCE = 18  # of 255, in any channel of any cell

_CHUNK_PAIRS = 50_000  # their thumbnails take 300 MB at most
_STRIP_PAIRS = 2_000

U64 = NDArray[np.uint64]
Pairs = NDArray[np.int64]  # (n, 2)


def near_edges(codes: U64, thumbnails_of: Callable[[NDArray[np.int64]], NDArray[np.uint8]]) -> NDArray[np.int64]:
    """(n, 3) rows a < b and their Hamming distance, in sorted order; `thumbnails_of(rows)` gives (len(rows), 3072)."""
    unique, group = np.unique(codes, return_inverse=True)
    members = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[members], np.arange(len(unique) + 1))
    alone = np.diff(starts) == 1
    equal = [_all_pairs(members[starts[g] : starts[g + 1]]) for g in np.flatnonzero(~alone)]
    near = hamming_pairs(unique, RADIUS)
    single = alone[near].all(axis=1)  # nearly all of them: no other picture has either code
    across = [
        np.array(np.meshgrid(members[starts[a] : starts[a + 1]], members[starts[b] : starts[b + 1]])).reshape(2, -1).T
        for a, b in near[~single]
    ]
    proposed = np.concatenate([np.empty((0, 2), np.int64), *equal, *across, members[starts[near[single]]]])
    pairs = _verified(np.sort(proposed, axis=1), thumbnails_of)
    distance = np.bitwise_count(codes[pairs[:, 0]] ^ codes[pairs[:, 1]]).astype(np.int64)
    edges = np.column_stack([pairs, distance])
    return edges[np.lexsort((edges[:, 1], edges[:, 0]))]


def same_colours(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Of thumbnails (n, 3072) each: is every cell alike?"""
    difference = np.abs(a.astype(np.int16) - b.astype(np.int16))
    alike: NDArray[np.bool_] = difference.max(axis=1) <= MAX_CELL_DIFFERENCE
    return alike


def hamming_pairs(unique: U64, radius: int) -> Pairs:
    """All pairs (a < b) of distinct codes within `radius` bits, each once; equal codes must have been collapsed."""
    if len(unique) < 2:
        return np.empty((0, 2), np.int64)
    num_blocks = radius + 3
    codes = ray.put(unique)
    task = ray.remote(num_cpus=1)(_table_pairs)
    tables = [task.remote(codes, kept, num_blocks, radius) for kept in combinations(range(num_blocks), 3)]
    found = []
    with progress("match", len(tables), "table") as advance:
        for table in tables:
            found.append(ray.get(table))
            advance()
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _table_pairs(codes: U64, kept: tuple[int, ...], num_blocks: int, radius: int) -> Pairs:
    masks = _block_masks(num_blocks)
    keys = codes & np.bitwise_or.reduce(masks[list(kept)])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    found = []
    first = np.arange(len(keys))
    step = 1
    while first.size:  # pairs that stand `step` apart in a run of equal keys
        first = first[first + step < len(keys)]
        first = first[keys[first] == keys[first + step]]
        a, b = order[first], order[first + step]
        near = np.bitwise_count(codes[a] ^ codes[b]) <= radius
        a, b = a[near], b[near]
        mine = _first_intact(codes[a] ^ codes[b], masks) == list(kept)
        found.append(np.sort(np.column_stack([a, b])[mine.all(axis=1)], axis=1))
        step += 1
    return np.concatenate([np.empty((0, 2), np.int64), *found])


def _first_intact(difference: U64, masks: U64) -> NDArray[np.int64]:
    """The first three blocks in which two codes agree: a pair belongs to that table alone, so it is found once."""
    intact = (difference[:, None] & masks[None, :]) == 0
    return np.argsort(~intact, axis=1, kind="stable")[:, :3]


def _block_masks(num_blocks: int) -> U64:
    edges = [64 * number // num_blocks for number in range(num_blocks + 1)]
    return np.array([(1 << high) - (1 << low) for low, high in pairwise(edges)], dtype=np.uint64)


def _all_pairs(members: NDArray[np.int64]) -> Pairs:
    a, b = np.triu_indices(len(members), k=1)
    return np.sort(np.column_stack([members[a], members[b]]), axis=1)


def _verified(pairs: Pairs, thumbnails_of: Callable[[NDArray[np.int64]], NDArray[np.uint8]]) -> Pairs:
    kept = [np.empty((0, 2), np.int64)]
    for start in range(0, len(pairs), _CHUNK_PAIRS):
        chunk = pairs[start : start + _CHUNK_PAIRS]
        rows, place = np.unique(chunk, return_inverse=True)  # each thumbnail is read once
        thumbnails, place = thumbnails_of(rows), place.reshape(-1, 2)
        kept.append(chunk[_alike(thumbnails, place)])
    return np.concatenate(kept)


def _alike(thumbnails: NDArray[np.uint8], pairs: Pairs) -> NDArray[np.bool_]:
    """In strips: the differences of all pairs at once would take twice their thumbnails' memory."""
    strips = [pairs[start : start + _STRIP_PAIRS] for start in range(0, len(pairs), _STRIP_PAIRS)]
    return np.concatenate([same_colours(thumbnails[strip[:, 0]], thumbnails[strip[:, 1]]) for strip in strips])
