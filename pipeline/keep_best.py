"""Of twins, keep one: the best by the recipe's policy, then by key, whatever the order of the input.

    twins = keep_best(rows, edges)      # rows: the columns of pairs that no rule dropped

Equal bytes, then equal pixels, then near-twins. Near-twins go by a leader pass, best first: a picture is dropped
only if it is near one that is kept, so a chain a–b–c cannot swallow a set whose ends are unlike. Clusters are
the components of all those ties; the split goes by them, so that twins never straddle train and validation.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Twins:
    """Of every row: the row kept instead (itself when kept), why, and the row with the smallest key in its cluster."""

    keeper: Ints
    stage: list[str]
    reason: list[str]
    cluster: Ints


def keep_order(rows: pa.Table, keep: str, is_evaluation: NDArray[np.bool_]) -> Ints:
    """Rows from the best to the worst. Evaluation pictures come first: what is near them must go, never they."""
    keys = np.array(rows["key"].to_pylist(), dtype="U32")
    if keep == "first":
        return np.lexsort((keys, ~is_evaluation))
    area = rows["width"].to_numpy().astype(np.int64) * rows["height"].to_numpy()
    return np.lexsort((keys, -rows["bytes"].to_numpy(), -area, ~is_evaluation))


def keep_best(
    rows: pa.Table, edges: Ints, *, images: str, captions: str, keep: str, is_evaluation: NDArray[np.bool_]
) -> Twins:
    """`edges` is (n, 3): row, row, distance, as `near_images.near_edges` gives them."""
    order = keep_order(rows, keep, is_evaluation)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    keeper = np.arange(len(order))
    reasons = [""] * len(order)

    if captions == "exact":
        _drop_equal(rows["caption"].to_pylist(), order, keeper, reasons, "same_caption", skip=is_evaluation)
    ties = []
    if images != "none":
        for column, reason in (("image_sha256", "same_bytes"), ("pixels_hash", "same_pixels")):
            ties += _drop_equal(rows[column].to_pylist(), order, keeper, reasons, reason)
    if images == "near":
        ties += [(int(a), int(b)) for a, b, _ in edges]
        _drop_near(edges, rank, order, keeper, reasons)
    keeper = _to_the_end(keeper)
    near_evaluation = is_evaluation[keeper] & ~is_evaluation
    stages = [_stage(reason, bool(evaluation)) for reason, evaluation in zip(reasons, near_evaluation, strict=True)]
    keys = rows["key"].to_pylist()
    return Twins(keeper, stages, reasons, _clusters(len(order), ties, keys))


def _stage(reason: str, near_evaluation: bool) -> str:
    if near_evaluation and reason:
        return "evaluation"
    return {"": "", "near_picture": "near"}.get(reason, "exact")


def _drop_equal(
    values: list[str], order: Ints, keeper: Ints, reasons: list[str], reason: str, skip: NDArray[np.bool_] | None = None
) -> list[tuple[int, int]]:
    """Of equal values the first in `order` stays. Returns (dropped, kept) of all, those dropped before included."""
    best: dict[str, int] = {}
    ties = []
    for row in order.tolist():
        if skip is not None and skip[row]:
            continue
        first = best.setdefault(values[row], row)
        if first == row:
            continue
        ties.append((row, first))
        if not reasons[row]:
            keeper[row], reasons[row] = first, reason
    return ties


def _drop_near(edges: Ints, rank: Ints, order: Ints, keeper: Ints, reasons: list[str]) -> None:
    neighbours: dict[int, list[tuple[int, int, int]]] = {}
    for a, b, distance in edges.tolist():
        neighbours.setdefault(a, []).append((distance, int(rank[b]), b))
        neighbours.setdefault(b, []).append((distance, int(rank[a]), a))
    for row in order.tolist():
        if reasons[row] or row not in neighbours:
            continue
        leaders = [
            (distance, place, other)
            for distance, place, other in neighbours[row]
            if place < rank[row] and not reasons[other]
        ]
        if leaders:
            keeper[row], reasons[row] = min(leaders)[2], "near_picture"


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
