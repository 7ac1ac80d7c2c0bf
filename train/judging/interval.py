"""Shares and means with their 95% intervals: Wilson's, which holds for few and for extreme ones, and the normal one.

share_of([True, True, False])       # {"share": 0.6667, "low": 0.2077, "high": 0.9385, "count": 3}
mean_of([1.0, 2.0, 3.0])            # {"mean": 2.0, "low": 0.8684, "high": 3.1316, "count": 3}
"""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

_Z = 1.96


class ShareWithInterval(TypedDict):
    share: float
    low: float
    high: float
    count: int  # that it is a share of


class MeanWithInterval(TypedDict):
    mean: float
    low: float
    high: float
    count: int  # that it is a mean of


def share_of(is_true: NDArray[np.bool_] | Sequence[bool]) -> ShareWithInterval:
    """Raises ValueError when there is nothing to count."""
    values: NDArray[Any] = np.asarray(is_true, dtype=bool)
    if not len(values):
        raise ValueError("a share of nothing")
    count, share = len(values), float(values.mean())
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * (share * (1 - share) / count + _Z**2 / (4 * count**2)) ** 0.5
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return ShareWithInterval(share=round(share, 4), low=round(low, 4), high=round(high, 4), count=count)


def mean_of(values: NDArray[np.float64] | Sequence[float]) -> MeanWithInterval:
    """Raises ValueError for fewer than two values."""
    numbers: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2:
        raise ValueError("an interval of fewer than two values")
    mean, half = float(numbers.mean()), _Z * float(numbers.std(ddof=1)) / len(numbers) ** 0.5
    return MeanWithInterval(
        mean=round(mean, 4), low=round(mean - half, 4), high=round(mean + half, 4), count=len(numbers)
    )


def said(share: ShareWithInterval) -> str:
    """For people: `66.7% (21–94)`."""
    return f"{share['share']:.1%} ({100 * share['low']:.0f}–{100 * share['high']:.0f})"


def said_mean(mean: MeanWithInterval, digits: int) -> str:
    """For people: `24.31 (23.90 to 24.72)`."""
    return f"{mean['mean']:.{digits}f} ({mean['low']:.{digits}f} to {mean['high']:.{digits}f})".replace("-", "−")
