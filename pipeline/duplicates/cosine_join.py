"""All pairs of vectors with a cosine ≥ a threshold: exactly up to a million vectors, by an index above that.

    pairs, cosines, record = cosine_join(vectors, 0.75)    # [[3, 8], …], [0.91, …], {"index": "exact"}

An index (lists by k-means, of which a query looks into a few) misses pairs. How many is measured against the exact
search for a sample of the vectors, and reported on standard error and in `record`; more lists are searched until it is
at most 1 in 100. Candidates are found in float32 and decided in float64, dimension after dimension: neither the number
of threads nor a processor's way of summing moves a pair across the threshold.
"""

import sys
from collections.abc import Iterator
from typing import Any, Required, TypedDict

import faiss
import numpy as np
from numpy.typing import NDArray

from ...manifests.errors import BadInput
from ..executor.progress import progress

EXACT_UP_TO = 1_000_000  # vectors
MAX_PAIRS = 50_000_000  # 1 GB of pairs and cosines
MIN_RECALL = 0.99

_SAMPLE = 2_000  # vectors whose neighbours are sought exactly, too
_FIRST_PROBES = 8
_QUERIES, _OTHERS = 1024, 16384  # a tile of cosines takes 64 MB
_PAIRS_AT_ONCE = 1024  # whose vectors, of 512 dimensions, take 8 MB

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Pairs = NDArray[np.int64]  # (n, 2)


class SearchRecord(TypedDict, total=False):
    """How near vectors were searched, for the manifest. An exact search has no key but `index`."""

    index: Required[str]  # exact, or ivf: lists by k-means
    nlist: int  # lists of the index
    nprobe: int  # lists that a query looks into
    recall: float  # share of the sample's near pairs that the index finds
    sample: int  # vectors that were also searched exactly
    pairs: int  # near pairs of the sample


def cosine_join(
    vectors: Floats, min_cosine: float, *, exact_up_to: int = EXACT_UP_TO, max_pairs: int = MAX_PAIRS
) -> tuple[Pairs, Floats, SearchRecord]:
    """(n, 2) rows a < b in sorted order, their cosines, and how they were searched; `vectors` (N, d) have length 1.

    Raises BadInput when more than `max_pairs` are near: such a model means something else by its cosines.
    """
    near_pairs = _NearPairs(vectors, min_cosine, max_pairs)
    if len(vectors) > exact_up_to:
        record = _by_lists(vectors, near_pairs)
    else:
        record = SearchRecord(index="exact")
        with progress("vectors", len(vectors), "vector") as advance:
            for start in range(0, len(vectors), _QUERIES):
                rows = np.arange(start, min(start + _QUERIES, len(vectors)))
                near_pairs.add(_among_all(vectors, rows, near_pairs.proposed_from, later=True))
                advance(len(rows))
    pairs, cosines = near_pairs.sorted()
    return pairs, cosines, record


class _NearPairs:
    """The pairs that are near: every candidate is decided exactly, and kept once."""

    def __init__(self, vectors: Floats, min_cosine: float, max_pairs: int) -> None:
        self.proposed_from = min_cosine - vectors.shape[1] * 2.0**-23  # twice what sums in float32 may be wrong by
        self._vectors, self._min_cosine, self._max_pairs = vectors, min_cosine, max_pairs
        self._keys, self._cosines = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        self._unsorted = 0

    def none_yet(self) -> "_NearPairs":
        return _NearPairs(self._vectors, self._min_cosine, self._max_pairs)

    def add(self, proposed: Iterator[Pairs]) -> None:
        """Keep the near ones of the proposed pairs. Raises BadInput as soon as there are too many to hold in memory."""
        for pairs in proposed:
            for start in range(0, len(pairs), _PAIRS_AT_ONCE):
                some = pairs[start : start + _PAIRS_AT_ONCE]
                exact = exact_cosines(self._vectors, some)
                near = (exact >= self._min_cosine) & (some[:, 0] != some[:, 1])
                self._keys.append(_keys(some[near], len(self._vectors)))
                self._cosines.append(exact[near].astype(np.float32))
                self._unsorted += int(near.sum())
                if self._unsorted > self._max_pairs // 4:
                    self._sort()

    def sorted(self) -> tuple[Pairs, Floats]:
        self._sort()
        return np.column_stack(np.divmod(self._keys[0], max(1, len(self._vectors)))), self._cosines[0]

    def _sort(self) -> None:
        keys, first = np.unique(np.concatenate(self._keys), return_index=True)
        self._keys, self._cosines, self._unsorted = [keys], [np.concatenate(self._cosines)[first]], 0
        self.refuse_if_more(len(keys))

    def refuse_if_more(self, count: float) -> None:
        if count > self._max_pairs:
            raise BadInput(
                f"duplicates.embedding: more than {self._max_pairs:,} pairs of pictures have a cosine of"
                f" {self._min_cosine} or more",
                cure="raise `min_cosine` to what this model gives to pictures that are the same",
            )


def exact_cosines(vectors: Floats, pairs: Pairs) -> NDArray[np.float64]:
    """The cosines of pairs of rows, summed in float64 in the order of dimensions: the same bits on every machine."""
    a, b = (np.ascontiguousarray(vectors[rows].T, np.float64) for rows in pairs.T)  # (d, n)
    dot, a_squared, b_squared = (np.zeros(len(pairs)) for _ in range(3))
    for of_a, of_b in zip(a, b, strict=True):
        dot += of_a * of_b
        a_squared += of_a * of_a
        b_squared += of_b * of_b
    with np.errstate(invalid="ignore"):  # a vector of zeros is near nothing
        cosines: NDArray[np.float64] = dot / np.sqrt(a_squared * b_squared)
    return cosines


def _among_all(vectors: Floats, rows: Ints, least: float, later: bool = False) -> Iterator[Pairs]:
    """(row, other) of all pairs whose product is at least `least`, tile by tile; with `later` each pair once."""
    queries = np.ascontiguousarray(vectors[rows])
    for start in range(int(rows[0]) if later else 0, len(vectors), _OTHERS):
        row, other = np.nonzero(queries @ vectors[start : start + _OTHERS].T >= least)
        pairs = np.column_stack([rows[row], other + start])
        yield pairs[pairs[:, 0] < pairs[:, 1]] if later else pairs[pairs[:, 0] != pairs[:, 1]]


def _by_lists(vectors: Floats, near_pairs: _NearPairs) -> SearchRecord:
    """Fill `near_pairs` with the pairs that an index finds."""
    index = _index_of(vectors)
    sample = np.unique(np.linspace(0, len(vectors) - 1, _SAMPLE).astype(np.int64))
    true = near_pairs.none_yet()
    for start in range(0, len(sample), _QUERIES):
        true.add(_among_all(vectors, sample[start : start + _QUERIES], near_pairs.proposed_from))
    true_pairs = true.sorted()[0]
    # Half of what the sample lets expect is far more than chance: asking the index could take all memory at once.
    near_pairs.refuse_if_more(len(true_pairs) / len(sample) * len(vectors) / 4)
    index.nprobe = _FIRST_PROBES
    while (recall := _recall(vectors, index, true_pairs, near_pairs)) < MIN_RECALL and index.nprobe < index.nlist:
        index.nprobe = min(2 * index.nprobe, index.nlist)
    print(
        f"vectors: {index.nprobe} of {index.nlist} lists searched find {recall:.4f} of the {len(true_pairs):,}"
        f" near pairs of {len(sample):,} vectors",
        file=sys.stderr,
        flush=True,
    )
    with progress("vectors", len(vectors), "vector") as advance:
        for start in range(0, len(vectors), _QUERIES):
            rows = np.arange(start, min(start + _QUERIES, len(vectors)))
            near_pairs.add(_in_lists(vectors, index, rows, near_pairs.proposed_from))
            advance(len(rows))
    return SearchRecord(
        index="ivf",
        nlist=index.nlist,
        nprobe=index.nprobe,
        recall=round(recall, 4),
        sample=len(sample),
        pairs=len(true_pairs),
    )


def _recall(vectors: Floats, index: Any, true: Pairs, near_pairs: _NearPairs) -> float:
    """Share of the true pairs (query, other) that the search of either of the two finds; 1 where there is none."""
    missed = true
    for side in (0, 1):
        searched = near_pairs.none_yet()
        rows = np.unique(missed[:, side])
        for start in range(0, len(rows), _QUERIES):
            searched.add(_in_lists(vectors, index, rows[start : start + _QUERIES], near_pairs.proposed_from))
        missed = missed[~np.isin(_keys(missed, len(vectors)), _keys(searched.sorted()[0], len(vectors)))]
    return 1 - len(missed) / max(1, len(true))


def _index_of(vectors: Floats) -> faiss.IndexIVFFlat:
    """4·√N lists, by k-means of at most 64 vectors a list, evenly taken."""
    dimensions, num_lists = vectors.shape[1], int(4 * len(vectors) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimensions), dimensions, num_lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, 1, 64
    index.train(np.ascontiguousarray(vectors[:: max(1, len(vectors) // (64 * num_lists))]))
    for start in range(0, len(vectors), _OTHERS):
        index.add(np.ascontiguousarray(vectors[start : start + _OTHERS]))
    return index


def _in_lists(vectors: Floats, index: faiss.IndexIVFFlat, rows: Ints, least: float) -> Iterator[Pairs]:
    ends, _, others = index.range_search(np.ascontiguousarray(vectors[rows]), least)
    ends = ends.astype(np.int64)
    yield np.column_stack([np.repeat(rows, ends[1:] - ends[:-1]), others])


def _keys(pairs: Pairs, num_vectors: int) -> Ints:
    """One number a pair, in the order of the pairs; the same for (a, b) and (b, a)."""
    keys: Ints = pairs.min(axis=1) * num_vectors + pairs.max(axis=1)
    return keys
