"""The sizes and diameters of clusters of duplicates. They show a radius that is too loose, or a placeholder picture.

    shapes = cluster_shapes(table)      # its columns key, cluster, phash64, pixels_hash, as in the decision table
    shapes.largest[0].pictures, shapes.largest[0].diameter
    warning(shapes)                     # one line, or None

A cluster counts when it holds at least two pictures that differ; equal pixels are one picture. Its diameter is the
largest Hamming distance between the hashes of any two of them. With `ClusterRows` the table comes part by part, at 48
bytes a pair.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

LARGE = 1_000  # pictures; no picture is found so often, but "image not available" is
CODES_COMPARED = 2_000  # of a cluster; of one that has more, the smallest: its diameter is then a lower bound
_LARGEST = 20
_SAMPLES = 6
_COMPARED_AT_ONCE = 4_000_000  # pairs of codes: 32 MB
_SIZES = (2, 3, 4, 6, 11, 101, LARGE + 1)  # where each class of sizes begins

U64 = NDArray[np.uint64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cluster:
    key: str  # as in the column `cluster`; may be the key of an evaluation picture
    pictures: int
    pairs: int
    diameter: int  # bits of 64
    is_exact: bool  # the diameter is of all its codes
    samples: tuple[str, ...]  # keys of pairs with pictures that differ, the smallest first


@dataclass(frozen=True)
class SizeClass:
    sizes: str  # "2", "4–5", "> 1,000"
    clusters: int
    pictures: int
    pairs: int
    diameter: int  # of the widest


@dataclass(frozen=True)
class ClusterShapes:
    clusters: int
    sizes: tuple[SizeClass, ...]  # all classes, empty ones too
    largest: tuple[Cluster, ...]


def cluster_shapes(table: pa.Table) -> ClusterShapes:
    """The shapes of a table that is in memory."""
    rows = ClusterRows()
    rows.add(table)
    return rows.shapes()


def warning(shapes: ClusterShapes) -> str | None:
    """One line about clusters above 1,000 pictures, with the cure; None if there are none."""
    count = shapes.sizes[-1].clusters
    if not count:
        return None
    worst = shapes.largest[0]
    those = "1 cluster of duplicates has" if count == 1 else f"{count:,} clusters of duplicates have"
    return (
        f"{those} more than {LARGE:,} pictures (the largest {worst.pictures:,}, {worst.diameter} of 64 bits wide, with "
        f"pair {worst.samples[0]}): look at the duplicates in the report, then lower `duplicates.radius` or drop "
        "that placeholder picture"
    )


class ClusterRows:
    """The decision table's rows, 48 bytes each, gathered part by part."""

    def __init__(self) -> None:
        self._parts: list[tuple[U64, U64, U64, U64]] = []

    def add(self, table: pa.Table) -> None:
        names = ["cluster", "pixels_hash", "phash64"]
        measured = pc.and_kleene(*(pc.is_valid(table[name]) for name in names[:2]))
        rows = table.select(["key", *names]).filter(pc.and_(measured, pc.is_valid(table["phash64"])))
        cluster, key, picture = (_halves(rows[name]) for name in ("cluster", "key", "pixels_hash"))
        self._parts.append((cluster, key, picture[:, 0] ^ picture[:, 1], rows["phash64"].to_numpy().astype(np.uint64)))

    def shapes(self) -> ClusterShapes:
        nothing = (
            np.empty((0, 2), np.uint64),
            np.empty((0, 2), np.uint64),
            np.empty(0, np.uint64),
            np.empty(0, np.uint64),
        )
        cluster, key, picture, code = (np.concatenate(columns) for columns in zip(nothing, *self._parts, strict=True))
        order = np.lexsort((cluster[:, 1], cluster[:, 0]))
        begins = _begins(cluster[order])
        size = np.diff(begins, append=len(order))
        several = np.repeat(size > 1, size)  # most pairs have no duplicate
        return _shapes(*(column[order][several] for column in (cluster, key, picture, code)))


def _shapes(cluster: U64, key: U64, picture: U64, code: U64) -> ClusterShapes:
    """The shapes, for rows that stand cluster by cluster."""
    begins = _begins(cluster)
    pairs = np.diff(begins, append=len(cluster))
    group = np.repeat(np.arange(len(begins), dtype=np.uint64), pairs)  # unsigned beside codes: else both become floats
    order = np.lexsort((key[:, 1], key[:, 0], picture, group))
    first = order[_begins(np.column_stack([group, picture])[order])]  # of each picture the pair with the smallest key
    pictures = _counts(group[first], len(begins))
    counted = np.flatnonzero(pictures > 1)
    diameter, num_codes = _diameters(group, code, len(begins))
    ranked = counted[np.lexsort((counted, -pictures[counted]))]  # groups stand in the order of their keys

    def cluster_of(number: int) -> Cluster:
        mine = first[np.searchsorted(group[first], number) : np.searchsorted(group[first], number, side="right")]
        mine = mine[np.lexsort((key[mine, 1], key[mine, 0]))[:_SAMPLES]]
        is_exact = bool(num_codes[number] <= CODES_COMPARED)
        numbers = int(pictures[number]), int(pairs[number]), int(diameter[number])
        return Cluster(_hex(cluster[begins[number]]), *numbers, is_exact, tuple(_hex(key[row]) for row in mine))

    largest = tuple(cluster_of(number) for number in ranked[:_LARGEST].tolist())
    return ClusterShapes(len(counted), _size_classes(pictures[counted], pairs[counted], diameter[counted]), largest)


def _size_classes(pictures: Ints, pairs: Ints, diameter: Ints) -> tuple[SizeClass, ...]:
    classes = []
    which = np.searchsorted(_SIZES, pictures, side="right") - 1
    for index, low in enumerate(_SIZES):
        mine = which == index
        last = index == len(_SIZES) - 1
        high = low if last else _SIZES[index + 1] - 1
        name = f"> {low - 1:,}" if last else f"{low:,}" if low == high else f"{low:,}–{high:,}"
        sums = int(mine.sum()), int(pictures[mine].sum()), int(pairs[mine].sum())
        classes.append(SizeClass(name, *sums, int(diameter[mine].max(initial=0))))
    return tuple(classes)


def _diameters(group: U64, code: U64, num_groups: int) -> tuple[Ints, Ints]:
    """(num_groups,) the largest distance within each, and how many codes each has that differ."""
    order = np.lexsort((code, group))
    distinct = order[_begins(np.column_stack([group, code])[order])]
    codes, num_codes = code[distinct], _counts(group[distinct], num_groups)
    begins = np.cumsum(num_codes) - num_codes
    compared = np.minimum(num_codes, CODES_COMPARED)
    diameter = np.zeros(num_groups, np.int64)
    for size in np.unique(compared[compared > 1]).tolist():  # all clusters with as many codes at once
        groups = np.flatnonzero(compared == size)
        step = max(1, _COMPARED_AT_ONCE // size**2)
        for start in range(0, len(groups), step):
            some = groups[start : start + step]
            mine = codes[begins[some][:, None] + np.arange(size)]  # (groups, size)
            diameter[some] = np.bitwise_count(mine[:, :, None] ^ mine[:, None, :]).max(axis=(1, 2))
    return diameter, num_codes


def _counts(group: U64, num_groups: int) -> Ints:
    counts: Ints = np.bincount(group.astype(np.int64), minlength=num_groups)
    return counts


def _begins(rows: U64) -> Ints:
    """The indices in sorted rows (n, 2) at which another value begins."""
    changes = (rows[1:] != rows[:-1]).any(axis=1)
    return np.flatnonzero(np.concatenate([np.ones(min(len(rows), 1), bool), changes]))


def _halves(column: pa.ChunkedArray) -> U64:
    """Keys of 32 hex digits as numbers (n, 2), in the order of the strings."""
    digits = column.cast(pa.string()).combine_chunks().cast(pa.binary()).cast(pa.binary(32))
    data = (
        memoryview(digits.buffers()[1])[32 * digits.offset : 32 * (digits.offset + len(digits))] if len(digits) else b""
    )
    return np.frombuffer(bytes.fromhex(bytes(data).decode("ascii")), ">u8").reshape(-1, 2).astype(np.uint64)


def _hex(halves: U64) -> str:
    return f"{int(halves[0]):016x}{int(halves[1]):016x}"
