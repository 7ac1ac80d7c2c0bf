"""The pairs that a report shows: of the kept ones, and of each reason, those with the smallest keys.

    samples = Samples()
    for part in corpus_parts(corpus):
        samples.add(part)
    samples.of("too_small")             # rows; the kept ones are those of ""

Keys are hashes, so the smallest of them are a random sample. It is the same each time and is gathered part by part.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..reasons import Row

KEPT_SHOWN = 36
DROPPED_SHOWN = 9  # of each reason


class Samples:
    def __init__(self) -> None:
        self._rows: pa.Table | None = None

    def add(self, part: pa.Table) -> None:
        rows = _smallest(part)
        self._rows = rows if self._rows is None else _smallest(pa.concat_tables([self._rows, rows]))

    def of(self, reason: str) -> list[Row]:
        rows: list[Row] = [] if self._rows is None else self._rows.to_pylist()
        return [row for row in rows if row["reason"] == reason]


def ranked(rows: pa.Table, column: str) -> tuple[pa.Table, NDArray[np.int64]]:
    """The rows sorted by the column, then by key, and the rank of each among the rows of its value, from 0."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=[(column, "ascending"), ("key", "ascending")]))
    codes = rows[column].combine_chunks().dictionary_encode().indices.to_numpy()
    begins = np.flatnonzero(np.diff(codes, prepend=-1))
    return rows, np.arange(len(rows)) - np.repeat(begins, np.diff(begins, append=len(rows)))


def _smallest(rows: pa.Table) -> pa.Table:
    rows, rank = ranked(rows, "reason")
    return rows.filter(pa.array(rank < np.where(rows["kept"].to_numpy(), KEPT_SHOWN, DROPPED_SHOWN)))
