"""The duplicates of a corpus, counted exactly and sampled worst first, part by part.

    duplicates = DuplicatePairs()
    for part in corpus_parts(corpus):
        duplicates.add(part)
    duplicates.of("difference")              # those that differ most; of("bins"): one of each bin of the difference
    duplicates.counts["exact"]["same_bytes"]

A duplicate is a pair that names another one: its `keeper`, or, if it is kept with another picture, the pair of that
picture. Its row gets `partner`, the key of the other one, and `kind`, its reason. A few hundred rows are in memory,
whatever the size of the corpus.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..reasons import Row
from .plots import floats
from .samples import ranked
from .tally import Tally

WORST_SHOWN = 48
LISTED = 12  # duplicates of evaluation pictures and of earlier corpora
EXACT_SHOWN = 3  # of each kind
BINS = 20  # of equal width, of the difference from 0 to 1; one more holds what lies above
MOST_BITS = 8  # larger distances, of duplicates that an embedding found, share one bar
REPLACED = "shown_with"  # kind of a kept pair that is shown with another picture

_EXACT = pa.array(["same_bytes", "same_pixels", "same_caption", "near_caption"])
ELSEWHERE = ("evaluation", "earlier")  # stages whose keepers are not in this corpus
_STAGES = pa.array([*ELSEWHERE, "exact", "near"])
_ORDERS = {
    "difference": [
        ("difference", "descending"), ("cosine", "ascending"), ("distance", "descending"), ("key", "ascending"),
    ],
    "cosine": [("cosine", "ascending"), ("distance", "descending"), ("key", "ascending")],
    "distance": [("distance", "descending"), ("key", "ascending")],
}  # fmt: skip


class DuplicatePairs:
    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {family: Counter() for family in ("near", "exact", *ELSEWHERE)}
        self.ordered_by: Counter[str] = Counter()  # near-duplicates by the measure that orders them
        self.differences = np.zeros(BINS + 1, np.int64)
        self.distances = np.zeros(MOST_BITS + 2, np.int64)
        self.cosines = Tally(digits=3)
        self._tables: dict[str, pa.Table] = {}

    def add(self, part: pa.Table) -> None:
        duplicates = _duplicates(part)
        if not len(duplicates):
            return
        for row in duplicates.group_by(["family", "kind"]).aggregate([([], "count_all")]).to_pylist():
            self.counts[row["family"]][row["kind"]] += row["count_all"]
        self._add_near(duplicates.filter(pc.equal(duplicates["family"], "near")))
        for family in ELSEWHERE:
            mine = duplicates.filter(pc.equal(duplicates["family"], family))
            self._keep(family, mine, partial(_worst, order="difference", most=LISTED))
        self._keep("exact", duplicates.filter(pc.equal(duplicates["family"], "exact")), _few_of_each_kind)

    def of(self, name: str) -> list[Row]:
        """The sampled rows of "bins", "exact", "evaluation" or "earlier", or of a measure.

        "difference", "cosine" and "distance" are the worst near-duplicates by that measure; each leaves out those that
        have a measure before it.
        """
        rows: list[Row] = self._tables[name].to_pylist() if name in self._tables else []
        return rows

    def _add_near(self, near: pa.Table) -> None:
        self.differences += np.bincount(bin_of(floats(near["difference"].drop_null())), minlength=BINS + 1)
        bits = np.minimum(near["distance"].drop_null().to_numpy(), MOST_BITS + 1)
        self.distances += np.bincount(bits, minlength=MOST_BITS + 2)
        cosines = floats(near["cosine"])
        self.cosines.add(cosines, np.zeros(len(cosines), bool))
        has_difference, has_cosine = (pc.is_valid(near[name]) for name in ("difference", "cosine"))
        self._keep("bins", near.filter(has_difference), _one_of_each_bin)
        by_measure = {
            "difference": has_difference,
            "cosine": pc.and_(pc.invert(has_difference), has_cosine),
            "distance": pc.invert(pc.or_(has_difference, has_cosine)),
        }
        for name, mask in by_measure.items():
            mine = near.filter(mask)
            self.ordered_by[name] += len(mine)
            self._keep(name, mine, partial(_worst, order=name, most=WORST_SHOWN))

    def _keep(self, name: str, rows: pa.Table, best_of: Callable[[pa.Table], pa.Table]) -> None:
        held = self._tables.get(name)
        if len(rows):
            self._tables[name] = best_of(rows if held is None else pa.concat_tables([held, rows]))


def bin_of(differences: NDArray[np.float64]) -> NDArray[np.int64]:
    """0 … 19, of which the last includes 1; 20 above it."""
    bins = np.minimum(np.floor(differences * BINS).astype(np.int64), BINS - 1)
    return np.where(differences > 1, BINS, bins)


def _duplicates(part: pa.Table) -> pa.Table:
    """The duplicates among the rows, each with its `partner`, `kind` and `family`."""
    partner = pc.coalesce(part["keeper"], part["picture"])
    is_duplicate = pc.or_(part["kept"], pc.is_in(part["stage"], _STAGES))
    part = part.append_column("partner", partner).filter(pc.and_(pc.is_valid(partner), is_duplicate))
    kind = pc.if_else(part["kept"], REPLACED, part["reason"])
    measured = pc.or_(pc.is_valid(part["difference"]), pc.is_valid(part["cosine"]))
    is_near = pc.and_not(pc.or_(measured, pc.equal(kind, "near_picture")), pc.is_in(kind, _EXACT))
    is_elsewhere = pc.is_in(part["stage"], pa.array(ELSEWHERE))
    family = pc.if_else(is_elsewhere, part["stage"], pc.if_else(is_near, "near", "exact"))
    return part.append_column("kind", kind).append_column("family", family)


def _worst(rows: pa.Table, order: str, most: int) -> pa.Table:
    """The first rows in that order; of a picture with several captions and one partner only the first."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=_ORDERS[order]))
    picture = pc.binary_join_element_wise(pc.coalesce(rows["image_sha256"], rows["key"]), rows["partner"], " ")
    codes = picture.combine_chunks().dictionary_encode().indices.to_numpy()
    return rows.take(np.sort(np.unique(codes, return_index=True)[1])[:most])


def _one_of_each_bin(rows: pa.Table) -> pa.Table:
    """The pair with the smallest key of each bin: a random one, since keys are hashes."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=[("key", "ascending")]))
    return rows.take(np.unique(bin_of(floats(rows["difference"])), return_index=True)[1])


def _few_of_each_kind(rows: pa.Table) -> pa.Table:
    rows, rank = ranked(rows, "kind")
    return rows.filter(pa.array(rank < EXACT_SHOWN))
