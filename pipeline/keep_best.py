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

from ..manifests.recipe import Duplicates

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Twins:
    """Of every row: the row kept instead (itself when kept), why, and the row with the smallest key in its cluster."""

    keeper: Ints
    stage: list[str]
    reason: list[str]
    cluster: Ints


def keep_best(rows: pa.Table, rules: Duplicates, is_evaluation: Mask, near_edges_of: Callable[[Ints], Ints]) -> Twins:
    """`near_edges_of(rows)` gives (n, 3) of row, row, distance among the rows it is asked about."""
    rank = _ranks(rows, rules.keep, is_evaluation)
    keys = rows["key"].to_pylist()
    picture = _pictures(rows, rank)  # of each row the best row of the same picture
    units = np.flatnonzero(picture == np.arange(len(rows)))
    verdicts = _Verdicts(len(rows), rank, is_evaluation)

    exact = {reason: _equal(rows[name].to_pylist(), units, rank) for name, reason in _EXACT.items()}
    for reason, ties in exact.items():
        verdicts.drop_ties(ties, reason, everywhere=rules.images != "none")
    copies = {row for ties in exact.values() for row, _ in ties}
    edges = near_edges_of(np.array([row for row in units.tolist() if row not in copies], dtype=np.int64))
    verdicts.drop_near(edges, everywhere=rules.images == "near")
    verdicts.spread(picture)
    if rules.captions == "exact":
        alive = np.flatnonzero((verdicts.reason == "") & ~is_evaluation)
        verdicts.drop_ties(_equal(rows["caption"].to_pylist(), alive, rank), "same_caption", everywhere=True)

    ties = [tie for found in exact.values() for tie in found] + [(int(a), int(b)) for a, b, _ in edges]
    ties += list(enumerate(picture.tolist()))
    keeper = _to_the_end(verdicts.keeper)
    stages = [_stage(reason, bool(is_evaluation[row])) for reason, row in zip(verdicts.reason, keeper, strict=True)]
    return Twins(keeper, stages, verdicts.reason.tolist(), _clusters(len(rows), ties, keys))


_EXACT = {"image_sha256": "same_bytes", "pixels_hash": "same_pixels"}


class _Verdicts:
    """Which row stands for which, and why; evaluation rows are never dropped, and drop whatever the policy."""

    def __init__(self, num_rows: int, rank: Ints, is_evaluation: Mask) -> None:
        self.keeper = np.arange(num_rows)
        self.reason = np.full(num_rows, "", dtype=object)
        self._rank, self._is_evaluation = rank, is_evaluation

    def drop_ties(self, ties: list[tuple[int, int]], reason: str, everywhere: bool) -> None:
        for row, first in ties:
            allowed = everywhere or self._is_evaluation[first]
            if allowed and not self.reason[row] and not self._is_evaluation[row]:
                self.keeper[row], self.reason[row] = first, reason

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
    keys = np.array(rows["key"].to_pylist(), dtype="U32")
    if keep == "first":
        order = np.lexsort((np.arange(len(rows)), ~is_evaluation))  # as the recipe lists its sources
    else:
        area = rows["width"].to_numpy().astype(np.int64) * rows["height"].to_numpy()
        order = np.lexsort((keys, -rows["bytes"].to_numpy(), -area, ~is_evaluation))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _pictures(rows: pa.Table, rank: Ints) -> Ints:
    """Of each row the best-ranked row with the same source and origin."""
    places = list(zip(rows["source"].to_pylist(), rows["origin"].to_pylist(), strict=True))
    best: dict[tuple[str, str], int] = {}
    for row in np.argsort(rank).tolist():
        best.setdefault(places[row], row)
    return np.array([best[place] for place in places], dtype=np.int64)


def _equal(values: list[str], rows: Ints, rank: Ints) -> list[tuple[int, int]]:
    """(row, best row of the same value) for all of `rows` that are not the best."""
    best: dict[str, int] = {}
    ordered = rows[np.argsort(rank[rows])].tolist()
    pairs = [(row, best.setdefault(values[row], row)) for row in ordered]
    return [(row, first) for row, first in pairs if row != first]


def _stage(reason: str, keeper_is_evaluation: bool) -> str:
    if reason and keeper_is_evaluation:
        return "evaluation"
    return {"": "", "near_picture": "near"}.get(reason, "exact")


def _to_the_end(keeper: Ints) -> Ints:
    """A twin's keeper may itself have been dropped for a better one: follow until one that was kept."""
    while not np.array_equal(keeper[keeper], keeper):
        keeper = keeper[keeper]
    return keeper


def _clusters(num_rows: int, ties: list[tuple[int, int]], keys: list[str]) -> Ints:
    """Components by union-find; the root of each is the row with the smallest key."""
    parent = list(range(num_rows))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for a, b in ties:
        low, high = sorted((root(a), root(b)), key=lambda row: keys[row])
        parent[high] = low
    return np.array([root(row) for row in range(num_rows)], dtype=np.int64)
