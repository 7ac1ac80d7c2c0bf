"""The pairs that a report shows: of the kept and of each reason those with the smallest keys.

    samples = Samples()
    for part in corpus_parts(corpus):
        samples.add(part)
    samples.of("too_small")             # rows; of "" the kept ones

Keys are hashes, so the smallest of them are a fair sample, the same each time, and found part by part.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .corpus_parts import Row

KEPT_SHOWN = 36
DROPPED_SHOWN = 9  # of each reason


class Samples:
    def __init__(self) -> None:
        self._rows: pa.Table | None = None

    def add(self, part: pa.Table) -> None:
        self._rows = _smallest(_with(self._rows, _smallest(part)))

    def of(self, reason: str) -> list[Row]:
        rows: list[Row] = [] if self._rows is None else self._rows.to_pylist()
        return [row for row in rows if row["reason"] == reason]


def _with(rows: pa.Table | None, more: pa.Table) -> pa.Table:
    return more if rows is None else pa.concat_tables([rows, more])


def _smallest(rows: pa.Table) -> pa.Table:
    rows, rank = ranked(rows, "reason")
    return rows.filter(pa.array(rank < np.where(rows["kept"].to_numpy(), KEPT_SHOWN, DROPPED_SHOWN)))


def ranked(rows: pa.Table, kind: str) -> tuple[pa.Table, NDArray[np.int64]]:
    """The rows by that column, then by key, and each one's place among those of its kind, from 0."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=[(kind, "ascending"), ("key", "ascending")]))
    kinds = rows[kind].combine_chunks().dictionary_encode().indices.to_numpy()
    begins = np.flatnonzero(np.diff(kinds, prepend=-1))
    return rows, np.arange(len(rows)) - np.repeat(begins, np.diff(begins, append=len(rows)))
