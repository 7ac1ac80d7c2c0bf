"""The pairs that a report shows: of the kept and of each reason those with the smallest keys, and the worst twins.

    samples = Samples()
    for part in corpus_parts(corpus):
        samples.add(part)
    samples.of("too_small")             # rows; of "" the kept ones
    worst_twins(corpus, samples)        # [(dropped, keeper, colour difference), …]

Keys are hashes, so the smallest of them are a fair sample, the same each time, and found part by part.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...manifests.manifest import Manifest
from .parts import Row, measured_thumbnails, rows_of

KEPT_SHOWN = 36
DROPPED_SHOWN = 9  # of each reason
TWINS_SHOWN = 18
TWINS_COMPARED = 128
_ALIKE = pa.array(["near_picture", "same_pixels", "same_bytes"])  # twins in the picture, not in the caption


class Samples:
    def __init__(self) -> None:
        self._rows: pa.Table | None = None
        self._twins: pa.Table | None = None

    def add(self, part: pa.Table) -> None:
        self._rows = _smallest(_with(self._rows, _smallest(part)))
        alike = pc.and_(pc.is_in(part["reason"], _ALIKE), pc.is_in(part["stage"], pa.array(["exact", "near"])))
        self._twins = _farthest(_with(self._twins, part.filter(alike)))

    def of(self, reason: str) -> list[Row]:
        rows: list[Row] = [] if self._rows is None else self._rows.to_pylist()
        return [row for row in rows if row["reason"] == reason]

    def twins(self) -> list[Row]:
        """Those farthest from their keepers by hash."""
        rows: list[Row] = [] if self._twins is None else self._twins.to_pylist()
        return rows


def worst_twins(corpus: Manifest, samples: Samples) -> list[tuple[Row, Row, int]]:
    """Dropped, kept, and the largest difference of a cell of their thumbnails, of 255; the least alike first."""
    twins = samples.twins()
    keepers = rows_of(corpus, {row["keeper"] for row in twins})
    pairs = [(row, keepers[row["keeper"]]) for row in twins if row["keeper"] in keepers]
    pixels = measured_thumbnails(corpus, [row for pair in pairs for row in pair])
    found = [
        (row, keeper, _difference(pixels[row["key"]], pixels[keeper["key"]]))
        for row, keeper in pairs
        if row["key"] in pixels and keeper["key"] in pixels
    ]
    found.sort(key=lambda twin: (-twin[2], twin[0]["key"]))
    once: dict[tuple[str, str], tuple[Row, Row, int]] = {}  # two captions of a picture make two pairs of twins
    for row, keeper, difference in found:
        once.setdefault((row["image_sha256"], keeper["image_sha256"]), (row, keeper, difference))
    return list(once.values())[:TWINS_SHOWN]


def _difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def _with(rows: pa.Table | None, more: pa.Table) -> pa.Table:
    return more if rows is None else pa.concat_tables([rows, more])


def _smallest(rows: pa.Table) -> pa.Table:
    """Of each reason the rows with the smallest keys, in the order of reasons and keys."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=[("reason", "ascending"), ("key", "ascending")]))
    reason = rows["reason"].combine_chunks().dictionary_encode().indices.to_numpy()
    begins = np.flatnonzero(np.diff(reason, prepend=-1))
    rank = np.arange(len(rows)) - np.repeat(begins, np.diff(begins, append=len(rows)))
    return rows.filter(pa.array(rank < np.where(rows["kept"].to_numpy(), KEPT_SHOWN, DROPPED_SHOWN)))


def _farthest(twins: pa.Table) -> pa.Table:
    order: Any = pc.sort_indices(twins, sort_keys=[("distance", "descending"), ("key", "ascending")])
    return twins.take(order[:TWINS_COMPARED])
