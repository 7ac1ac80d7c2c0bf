"""Of twins, keep one: the best by the recipe's policy, then by key, whatever the order of the input.

    twins = keep_best(rows, rules, is_evaluation, near_edges_of)     # rows: pairs that no rule dropped

Equal bytes, then equal pixels, then near-twins; the unit is the picture, so a picture's several captions stay or fall
together. Near-twins go by a leader pass, best first: a picture is dropped only if it is near one that is kept, so a
chain a–b–c cannot swallow a set whose ends are unlike. Equal captions come last, among what is still there.
Clusters are the components of all those ties, dropped or not: the split goes by them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...manifests.recipe_rules import Duplicates

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Words = NDArray[np.object_]


@dataclass(frozen=True)
class Twins:
    """Of every row: the row kept instead (itself when kept), why, and the row with the smallest key in its cluster."""

    keeper: Ints
    stage: Words
    reason: Words
    cluster: Ints


def keep_best(rows: pa.Table, rules: Duplicates, is_evaluation: Mask, near_edges_of: Callable[[Ints], Ints]) -> Twins:
    """`near_edges_of(rows)` gives (n, 3) of row, row, distance among the rows it is asked about."""
    rank = _ranks(rows, rules.keep, is_evaluation)
    everything = np.arange(len(rows))
    picture = everything.copy()  # of each row the best row of the same picture
    captions_of_one = _equal(_places(rows), everything, rank)
    picture[captions_of_one[:, 0]] = captions_of_one[:, 1]
    units = np.flatnonzero(picture == everything)
    verdicts = _Verdicts(len(rows), rank, is_evaluation)

    exact = {reason: _equal(_codes(rows[name]), units, rank) for name, reason in _EXACT.items()}
    for reason, ties in exact.items():
        verdicts.drop_ties(ties, reason, everywhere=rules.images != "none")
    copies = np.concatenate([ties[:, 0] for ties in exact.values()])
    edges = near_edges_of(np.setdiff1d(units, copies))
    verdicts.drop_near(edges, everywhere=rules.images == "near")
    verdicts.spread(picture)
    if rules.captions == "exact":
        alive = np.flatnonzero((verdicts.reason == "") & ~is_evaluation)
        verdicts.drop_ties(_equal(_codes(rows["caption"]), alive, rank), "same_caption", everywhere=True)

    ties = np.concatenate([*exact.values(), edges[:, :2], captions_of_one])
    keeper = _to_the_end(verdicts.keeper)
    stage = np.array(["", "near", "exact"], dtype=object)[
        np.where(verdicts.reason == "", 0, np.where(verdicts.reason == "near_picture", 1, 2))
    ]
    stage[(verdicts.reason != "") & is_evaluation[keeper]] = "evaluation"
    return Twins(keeper, stage, verdicts.reason, _clusters(len(rows), ties, _keys(rows)))


_EXACT = {"image_sha256": "same_bytes", "pixels_hash": "same_pixels"}


class _Verdicts:
    """Which row stands for which, and why; evaluation rows are never dropped, and drop whatever the policy."""

    def __init__(self, num_rows: int, rank: Ints, is_evaluation: Mask) -> None:
        self.keeper = np.arange(num_rows)
        self.reason: Words = np.full(num_rows, "", dtype=object)
        self._rank, self._is_evaluation = rank, is_evaluation

    def drop_ties(self, ties: Ints, reason: str, everywhere: bool) -> None:
        row, first = ties[:, 0], ties[:, 1]
        allowed = (everywhere | self._is_evaluation[first]) & (self.reason[row] == "") & ~self._is_evaluation[row]
        self.keeper[row[allowed]], self.reason[row[allowed]] = first[allowed], reason

    def drop_near(self, edges: Ints, everywhere: bool) -> None:
        """The leader pass: best first, a row falls to its nearest neighbour among those that were kept."""
        neighbours: dict[int, list[tuple[int, int, int]]] = {}
        for a, b, distance in edges.tolist():
            neighbours.setdefault(a, []).append((distance, int(self._rank[b]), b))
            neighbours.setdefault(b, []).append((distance, int(self._rank[a]), a))
        for row in sorted(neighbours, key=lambda row: int(self._rank[row])):
            if self.reason[row] or self._is_evaluation[row]:
                continue
            leaders = [
                (not self._is_evaluation[other], distance, place, other)
                for distance, place, other in neighbours[row]
                if place < self._rank[row] and not self.reason[other] and (everywhere or self._is_evaluation[other])
            ]
            if leaders:
                self.keeper[row], self.reason[row] = min(leaders)[3], "near_picture"

    def spread(self, picture: Ints) -> None:
        """What was decided of a picture holds for all of its captions."""
        dropped = self.reason[picture] != ""
        self.keeper[dropped] = self.keeper[picture][dropped]
        self.reason = self.reason[picture]


def _ranks(rows: pa.Table, keep: str, is_evaluation: Mask) -> Ints:
    """0 for the best row. Evaluation pictures come first: what is near them must go, never they."""
    if keep == "first":
        order = np.lexsort((np.arange(len(rows)), ~is_evaluation))  # as the recipe lists its sources
    else:
        area = rows["width"].to_numpy().astype(np.int64) * rows["height"].to_numpy()
        order = np.lexsort((_keys(rows), -rows["bytes"].to_numpy(), -area, ~is_evaluation))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _keys(rows: pa.Table) -> NDArray[np.bytes_]:
    """(n,) of 32 bytes each, in the order of the strings."""
    keys: NDArray[np.bytes_] = np.array(rows["key"].to_numpy(), dtype="S32")
    return keys


def _places(rows: pa.Table) -> Ints:
    """A number for each row that two rows share if they are of one picture: its source and origin."""
    origin = _codes(rows["origin"])
    places: Ints = _codes(rows["source"]) * (int(origin.max(initial=0)) + 1) + origin
    return places


def _codes(column: pa.ChunkedArray) -> Ints:
    """Equal values, equal numbers."""
    values = column.combine_chunks()
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    codes: Ints = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _equal(codes: Ints, rows: Ints, rank: Ints) -> Ints:
    """(n, 2) of row, best row of the same code, for all of `rows` that are not the best; best first."""
    ordered = rows[np.argsort(rank[rows])]
    _, first, group = np.unique(codes[ordered], return_index=True, return_inverse=True)
    pairs = np.column_stack([ordered, ordered[first[group]]])
    ties: Ints = pairs[pairs[:, 0] != pairs[:, 1]]
    return ties


def _to_the_end(keeper: Ints) -> Ints:
    """A twin's keeper may itself have been dropped for a better one: follow until one that was kept."""
    while not np.array_equal(keeper[keeper], keeper):
        keeper = keeper[keeper]
    return keeper


def _clusters(num_rows: int, ties: Ints, keys: NDArray[np.bytes_]) -> Ints:
    """Components by union-find; the root of each is the row with the smallest key."""
    parent = list(range(num_rows))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for a, b in ties.tolist():
        low, high = sorted((root(a), root(b)), key=lambda row: keys[row])
        parent[high] = low
    tied = np.unique(ties)
    found = np.arange(num_rows)
    found[tied] = [root(row) for row in tied.tolist()]
    return found
