"""Which pictures are twins, and of each the better one that it falls to.

    twins = PictureDuplicates(rows, rank, protected)      # captions of one picture, equal bytes, equal pixels
    twins.compare(near_of)                           # near pictures, among those that are no copies
    twins.best({"same_bytes", "same_pixels"})        # of each row the picture at the end of its chain of better ones

The unit is the picture, by the best of its rows, so a picture's several captions stay or fall together.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .leader_pass import NearDuplicates

EXACT = {"image_sha256": "same_bytes", "pixels_hash": "same_pixels"}  # column → reason, the surer one first
NEAR = "near_picture"

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Words = NDArray[np.object_]
NearOf = Callable[
    [Ints, Ints, Mask], NearDuplicates
]  # (rows, their rank, which are protected) → by place among the rows


class PictureDuplicates:
    """Of every row, which of the same picture stands for it; of those, which falls to which, and why."""

    def __init__(self, rows: pa.Table, rank: Ints, protected: Mask) -> None:
        self.rank, self.protected = rank, protected
        everything = np.arange(len(rank))
        self.of_row = everything.copy()  # of each row the best row of the same picture: it stands for the picture
        self._captions_of_one = best_of_equal(_places(rows), everything, rank)
        self.of_row[self._captions_of_one[:, 0]] = self._captions_of_one[:, 1]
        self._units = np.flatnonzero(self.of_row == everything)
        self.better = everything.copy()
        self.reason: Words = np.full(len(rank), "", dtype=object)
        self.difference = np.full(len(rank), np.nan, np.float32)
        self._exact = [self._drop_copies(equal_codes(rows[name]), reason) for name, reason in EXACT.items()]
        self._near = np.empty((0, 2), np.int64)

    def _drop_copies(self, codes: Ints, reason: str) -> Ints:
        ties = best_of_equal(codes, self._units, self.rank)
        falls = ties[(self.reason[ties[:, 0]] == "") & ~self.protected[ties[:, 0]]]
        self.better[falls[:, 0]], self.reason[falls[:, 0]] = falls[:, 1], reason
        return ties

    def compare(self, near_of: NearOf) -> None:
        """Copies are not compared again, unless they may not fall."""
        asked = self._units[self.reason[self._units] == ""]
        found = near_of(asked, np.argsort(np.argsort(self.rank[asked])), self.protected[asked])
        falls = np.flatnonzero(found.leader != np.arange(len(asked)))
        rows = asked[falls]
        self.better[rows], self.reason[rows] = asked[found.leader[falls]], NEAR
        self.difference[rows] = found.difference[falls]
        self._near = asked[found.ties]

    def best(self, reasons: set[str]) -> Ints:
        """Of each row the picture at the end of its chain of better ones, going only by these reasons."""
        counts = np.isin(self.reason, list(reasons))
        return to_the_end(np.where(counts, self.better, np.arange(len(self.better))))[self.of_row]

    def difference_of(self, asked: Mask, twin: Ints) -> Floats:
        """Of the rows asked for, where `twin` is what they fell to; a copy differs as much as its picture."""
        original = self.best(set(EXACT.values()))
        near = asked & (self.reason[original] == NEAR) & (self.of_row[twin] == self.better[original])
        return np.where(near, self.difference[original], np.float32(np.nan))

    def ties(self) -> Ints:
        return np.concatenate([self._captions_of_one, *self._exact, self._near])


def _places(rows: pa.Table) -> Ints:
    """A number for each row that two rows share if they are of one picture: its corpus, source and origin."""
    source, origin = equal_codes(rows["source"]), equal_codes(rows["origin"])
    corpus = rows["corpus"].to_numpy().astype(np.int64)
    places: Ints = (corpus * (int(source.max(initial=0)) + 1) + source) * (int(origin.max(initial=0)) + 1) + origin
    return places


def equal_codes(column: pa.ChunkedArray) -> Ints:
    """Equal values, equal numbers."""
    values = column.combine_chunks()
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    codes: Ints = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def best_of_equal(codes: Ints, rows: Ints, rank: Ints) -> Ints:
    """(n, 2) of row, best row of the same code, for all of `rows` that are not the best; best first."""
    ordered = rows[np.argsort(rank[rows])]
    _, first, group = np.unique(codes[ordered], return_index=True, return_inverse=True)
    pairs = np.column_stack([ordered, ordered[first[group]]])
    ties: Ints = pairs[pairs[:, 0] != pairs[:, 1]]
    return ties


def to_the_end(keeper: Ints) -> Ints:
    """A twin's keeper may itself have been dropped for a better one: follow until one that was kept."""
    while not np.array_equal(keeper[keeper], keeper):
        keeper = keeper[keeper]
    return keeper
