"""Which pictures are duplicates, and for each the better picture that it is dropped for.

    duplicates = PictureDuplicates(rows, rank, protected)  # captions of one picture, equal bytes, equal pixels
    duplicates.compare(near_of)                            # near pictures, among those that are no copies
    duplicates.best({"same_bytes", "same_pixels"})         # the end of each row's chain of better pictures

The unit is the picture, represented by the best of its rows, so a picture's captions are kept or dropped together.
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
# (rows, their rank, which of them are protected) → counted in positions of `rows`
NearOf = Callable[[Ints, Ints, Mask], NearDuplicates]


class PictureDuplicates:
    """Which row of the same picture represents each row; which of those is dropped for which, and why."""

    def __init__(self, rows: pa.Table, rank: Ints, protected: Mask) -> None:
        self.rank, self.protected = rank, protected
        everything = np.arange(len(rank))
        self.of_row = everything.copy()  # the best row of the same picture, which represents the picture
        self._captions_of_one = best_of_equal(_picture_numbers(rows), everything, rank)
        self.of_row[self._captions_of_one[:, 0]] = self._captions_of_one[:, 1]
        self._units = np.flatnonzero(self.of_row == everything)
        self.better = everything.copy()
        self.reason: Words = np.full(len(rank), "", dtype=object)
        self.difference = np.full(len(rank), np.nan, np.float32)
        self._exact = [self._drop_copies(equal_codes(rows[name]), reason) for name, reason in EXACT.items()]
        self._near = np.empty((0, 2), np.int64)

    def _drop_copies(self, codes: Ints, reason: str) -> Ints:
        ties = best_of_equal(codes, self._units, self.rank)
        dropped = ties[(self.reason[ties[:, 0]] == "") & ~self.protected[ties[:, 0]]]
        self.better[dropped[:, 0]], self.reason[dropped[:, 0]] = dropped[:, 1], reason
        return ties

    def compare(self, near_of: NearOf) -> None:
        """Find near-duplicates among the pictures that are no copies, and the copies that are protected."""
        compared = self._units[self.reason[self._units] == ""]
        near = near_of(compared, np.argsort(np.argsort(self.rank[compared])), self.protected[compared])
        dropped = np.flatnonzero(near.leader != np.arange(len(compared)))
        rows = compared[dropped]
        self.better[rows], self.reason[rows] = compared[near.leader[dropped]], NEAR
        self.difference[rows] = near.difference[dropped]
        self._near = compared[near.ties]

    def best(self, reasons: set[str]) -> Ints:
        """The picture at the end of each row's chain of better ones, going only by these reasons."""
        counts = np.isin(self.reason, list(reasons))
        return last_keeper(np.where(counts, self.better, np.arange(len(self.better))))[self.of_row]

    def difference_of(self, mask: Mask, duplicate: Ints) -> Floats:
        """How much the rows of `mask` differ from their `duplicate`; a copy differs as its original does."""
        original = self.best(set(EXACT.values()))
        near = mask & (self.reason[original] == NEAR) & (self.of_row[duplicate] == self.better[original])
        return np.where(near, self.difference[original], np.float32(np.nan))

    def ties(self) -> Ints:
        """(n, 2) of rows whose pictures are duplicates, dropped or not."""
        return np.concatenate([self._captions_of_one, *self._exact, self._near])


def _picture_numbers(rows: pa.Table) -> Ints:
    """Equal numbers for rows of one picture: its corpus, source and origin."""
    source, origin = equal_codes(rows["source"]), equal_codes(rows["origin"])
    corpus = rows["corpus"].to_numpy().astype(np.int64)
    numbers: Ints = (corpus * (int(source.max(initial=0)) + 1) + source) * (int(origin.max(initial=0)) + 1) + origin
    return numbers


def equal_codes(column: pa.ChunkedArray) -> Ints:
    """A number for each value of the column, equal for equal values."""
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


def last_keeper(keeper: Ints) -> Ints:
    """The keeper at the end of each chain: a keeper may itself have been dropped for a better row."""
    while not np.array_equal(keeper[keeper], keeper):
        keeper = keeper[keeper]
    return keeper
