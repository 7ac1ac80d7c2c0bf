"""How often each value occurs, among kept and among dropped pairs: the numbers behind histograms and medians.

    tally = Tally(digits=4)
    tally.add(sharpness, kept)          # part by part; NaN is nothing measured
    tally.quantile(0.5)

Without `digits` the counts are exact. With `digits`, values are rounded to so many significant digits, so that a
million pairs of a measure take a few thousand numbers.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

_PENDING = 200_000  # values held before they are counted


class Tally:
    def __init__(self, digits: int | None = None) -> None:
        self._digits = digits
        self._values: Floats = np.empty(0)
        self._counts: Counts = np.empty((0, 2), np.int64)  # dropped, kept
        self._pending: list[tuple[Floats, Counts]] = []

    def add(self, values: Floats, kept: Mask) -> None:
        measured = np.isfinite(values)
        values, kept = values[measured], kept[measured]
        self.add_counts(values, np.column_stack([~kept, kept]).astype(np.int64))

    def add_counts(self, values: Floats, counts: Counts) -> None:
        """`counts` (n, 2) are the numbers of dropped and of kept pairs that have each of the values."""
        if self._digits is not None:
            values = _rounded(values, self._digits)
        self._pending.append((values, counts))
        if sum(len(values) for values, _ in self._pending) > _PENDING:
            self._count()

    def counted(self) -> tuple[Floats, Counts]:
        """The distinct values in order, (n,), and the numbers of dropped and kept pairs that have them, (n, 2)."""
        self._count()
        return self._values, self._counts

    def quantile(self, share: float, kept_only: bool = False) -> float | None:
        """The value below which `share` of the pairs lie; None when there are none."""
        values, counts = self.counted()
        heights = counts[:, 1] if kept_only else counts.sum(axis=1)
        if not heights.sum():
            return None
        return float(values[np.searchsorted(np.cumsum(heights), share * heights.sum())])

    def _count(self) -> None:
        values = np.concatenate([self._values, *(values for values, _ in self._pending)])
        counts = np.concatenate([self._counts, *(counts for _, counts in self._pending)])
        self._pending = []
        self._values, index = np.unique(values, return_inverse=True)
        self._counts = np.zeros((len(self._values), 2), np.int64)
        np.add.at(self._counts, index, counts)


def _rounded(values: Floats, digits: int) -> Floats:
    size = np.floor(np.log10(np.abs(values), where=values != 0, out=np.zeros(len(values))))
    scale = 10.0 ** (digits - 1 - size)
    rounded: Floats = np.round(values * scale) / scale
    return rounded
