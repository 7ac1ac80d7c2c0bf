"""The duplicates of a corpus, counted exactly and sampled worst first, part by part.

    duplicates = DuplicatePairs()
    for part in corpus_parts(corpus):
        duplicates.add(part)
    duplicates.of("difference")              # those that differ most; of("rungs"): one of each step of the range
    duplicates.counts["exact"]["same_bytes"]

A duplicate is a pair that names another: its `keeper`, or of a kept pair the one whose picture it is shown with. The
row gets `partner`, that key, and `kind`, its reason. Memory does not grow with the corpus: a few hundred rows are held.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .corpus_parts import Row
from .samples import ranked
from .tally import Tally

WORST_SHOWN = 48
LISTED = 12  # of the evaluation's and of an earlier corpus' duplicates
EXACT_SHOWN = 3  # of each kind
RUNGS = 20  # equal steps of `difference` from 0 to 1; what lies above stands in one more
MOST_BITS = 8  # distances above stand in one bar: duplicates that an embedding found
REPLACED = "shown_with"  # the kind of a kept pair whose picture gave way

_EXACT = pa.array(["same_bytes", "same_pixels", "same_caption", "near_caption"])
_AWAY = ("evaluation", "earlier")  # stages whose keepers stand in no row of this corpus
_STAGES = pa.array([*_AWAY, "exact", "near"])
_ORDERS = {
    "difference": [
        ("difference", "descending"), ("cosine", "ascending"), ("distance", "descending"), ("key", "ascending"),
    ],
    "cosine": [("cosine", "ascending"), ("distance", "descending"), ("key", "ascending")],
    "distance": [("distance", "descending"), ("key", "ascending")],
}  # fmt: skip


class DuplicatePairs:
    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {family: Counter() for family in ("near", "exact", *_AWAY)}
        self.ordered_by: Counter[str] = Counter()  # near-duplicates by what tells how far apart they are
        self.differences = np.zeros(RUNGS + 1, np.int64)
        self.distances = np.zeros(MOST_BITS + 2, np.int64)
        self.cosines = Tally(digits=3)
        self._tables: dict[str, pa.Table] = {}

    def add(self, part: pa.Table) -> None:
        duplicates = _duplicates(part)
        if not len(duplicates):
            return
        for row in duplicates.group_by(["family", "kind"]).aggregate([([], "count_all")]).to_pylist():
            self.counts[row["family"]][row["kind"]] += row["count_all"]
        near = duplicates.filter(pc.equal(duplicates["family"], "near"))
        self._count(near)
        self._keep("rungs", near.filter(pc.is_valid(near["difference"])), _one_a_rung)
        measured, looked_at = (pc.is_valid(near[name]) for name in ("difference", "cosine"))
        by_cosine = pc.and_(pc.invert(measured), looked_at)
        by_distance = pc.invert(pc.or_(measured, looked_at))
        for name, mask in (("difference", measured), ("cosine", by_cosine), ("distance", by_distance)):
            mine = near.filter(mask)
            self.ordered_by[name] += len(mine)
            self._keep(name, mine, partial(_worst, order=name, most=WORST_SHOWN))
        for name in _AWAY:
            mine = duplicates.filter(pc.equal(duplicates["family"], name))
            self._keep(name, mine, partial(_worst, order="difference", most=LISTED))
        self._keep("exact", duplicates.filter(pc.equal(duplicates["family"], "exact")), _few_of_each_kind)

    def of(self, name: str) -> list[Row]:
        """ "difference", "cosine" or "distance": the worst near-duplicates by it, of those without any before;
        "rungs"; "exact"; "evaluation" and "earlier"."""
        rows: list[Row] = self._tables[name].to_pylist() if name in self._tables else []
        return rows

    def _count(self, near: pa.Table) -> None:
        self.differences += np.bincount(rung_of(_floats(near["difference"].drop_null())), minlength=RUNGS + 1)
        bits = np.minimum(near["distance"].drop_null().to_numpy(), MOST_BITS + 1)
        self.distances += np.bincount(bits, minlength=MOST_BITS + 2)
        cosines = _floats(near["cosine"])
        self.cosines.add(cosines, np.zeros(len(cosines), bool))

    def _keep(self, name: str, rows: pa.Table, best_of: Callable[[pa.Table], pa.Table]) -> None:
        held = self._tables.get(name)
        if len(rows):
            self._tables[name] = best_of(rows if held is None else pa.concat_tables([held, rows]))


def rung_of(differences: NDArray[np.float64]) -> NDArray[np.int64]:
    """0 … 19, where 1 is the end of the last; 20 above it."""
    rungs = np.minimum(np.floor(differences * RUNGS).astype(np.int64), RUNGS - 1)
    return np.where(differences > 1, RUNGS, rungs)


def _duplicates(part: pa.Table) -> pa.Table:
    partner = pc.coalesce(part["keeper"], part["picture"])
    is_duplicate = pc.or_(part["kept"], pc.is_in(part["stage"], _STAGES))
    part = part.append_column("partner", partner).filter(pc.and_(pc.is_valid(partner), is_duplicate))
    kind = pc.if_else(part["kept"], REPLACED, part["reason"])
    measured = pc.or_(pc.is_valid(part["difference"]), pc.is_valid(part["cosine"]))
    is_near = pc.and_not(pc.or_(measured, pc.equal(kind, "near_picture")), pc.is_in(kind, _EXACT))
    family = pc.if_else(pc.is_in(part["stage"], pa.array(_AWAY)), part["stage"], pc.if_else(is_near, "near", "exact"))
    return part.append_column("kind", kind).append_column("family", family)


def _worst(rows: pa.Table, order: str, most: int) -> pa.Table:
    """The first in that order; several captions of a picture that fell to the same one are shown once."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=_ORDERS[order]))
    picture = pc.binary_join_element_wise(pc.coalesce(rows["image_sha256"], rows["key"]), rows["partner"], " ")
    codes = picture.combine_chunks().dictionary_encode().indices.to_numpy()
    return rows.take(np.sort(np.unique(codes, return_index=True)[1])[:most])


def _one_a_rung(rows: pa.Table) -> pa.Table:
    """The pair with the smallest key of each rung: keys are hashes, so chance chooses."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=[("key", "ascending")]))
    return rows.take(np.unique(rung_of(_floats(rows["difference"])), return_index=True)[1])


def _few_of_each_kind(rows: pa.Table) -> pa.Table:
    rows, rank = ranked(rows, "kind")
    return rows.filter(pa.array(rank < EXACT_SHOWN))


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    floats: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    return floats
