"""What the progress line of a stage counts: parts, unless a stage knows something smaller.

meter = PartMeter(32)
meter.finished(result)                  # of each part
meter.show(advance)                     # about once a second, while parts are at work
"""

from typing import Any, Protocol

from .part import PartResult
from .progress import Advance


class Meter(Protocol):
    total: int
    unit: str

    def finished(self, result: PartResult[Any]) -> None: ...

    def show(self, advance: Advance) -> None:
        """Advance by what was done since the last call."""
        ...


class PartMeter:
    unit = "part"

    def __init__(self, total: int) -> None:
        self.total, self._done, self._shown = total, 0, 0

    def finished(self, result: PartResult[Any]) -> None:
        self._done += 1

    def show(self, advance: Advance) -> None:
        if self._done > self._shown:
            advance(self._done - self._shown)
            self._shown = self._done
