"""The order of the rows of one source: a pure function of seed, epoch and shuffle, and its inverse.

    shuffled = Shuffled("sha256:…/train", num_rows=7213, seed=0, shuffle=Shuffle(kind="window"), block_rows=4096)
    shuffled.rows(np.arange(128))            # the rows of the first 128 draws
    shuffled.draws(row=5, num_epochs=3)      # the draws of row 5

Draw d lies in epoch d ÷ n; every epoch draws each of the n rows exactly once, in an order of its own. `SHUFFLES` lists
the kinds of shuffle. All are in closed form: nothing is stored, and any draw costs the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..documents import Json
from ..errors import BadInput
from .permutation import Permutation

Numbers = NDArray[np.int64]


class Shuffle(BaseModel):
    """`train.shuffle` of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = "global"  # a key of SHUFFLES
    blocks: Annotated[int, Field(ge=1)] = 64  # of a window
    run: Annotated[int, Field(ge=1)] = 1  # blocks that stay side by side; the window is a multiple of it

    @field_validator("kind")
    @classmethod
    def _is_known(cls, kind: str) -> str:
        if kind not in SHUFFLES:
            raise ValueError(f"use one of {', '.join(SHUFFLES)}")
        return kind

    @model_validator(mode="after")
    def _runs_fill_the_window(self) -> "Shuffle":
        if self.blocks % self.run:
            raise ValueError(
                f"a window of {self.blocks} blocks is not filled by runs of {self.run}; make it a multiple"
            )
        return self

    def document(self) -> Json:
        """Return the kind and the settings that it uses."""
        return {"kind": self.kind, **{name: getattr(self, name) for name in SHUFFLES[self.kind].settings}}


def parse_shuffle(text: str) -> Shuffle:
    """Return the shuffle of `global`, `none`, `window:64` or `window:64:16`: a kind, then its settings in order.

    Raises BadInput for anything else.
    """
    kind, *numbers = text.split(":")
    settings = SHUFFLES[kind].settings if kind in SHUFFLES else ()
    try:
        if len(numbers) > len(settings):
            raise ValueError
        return Shuffle(kind=kind, **dict(zip(settings, map(int, numbers), strict=False)))
    except ValueError:
        raise BadInput(f"--shuffle {text}", cure="use global, none, window:64 or window:64:16") from None


@dataclass(frozen=True)
class Shuffled:
    """The rows of one source in the order of their draws."""

    source: str  # id of the manifest, and split
    num_rows: int
    seed: int
    shuffle: Shuffle
    block_rows: int

    def rows(self, draws: Numbers) -> Numbers:
        """Return the row of each draw."""
        epochs, indices = np.divmod(draws, self.num_rows)
        rows = np.empty(len(draws), dtype=np.int64)
        for epoch, here in _runs(epochs):
            rows[here] = _epoch(self, epoch).rows(indices[here])
        return rows

    def draws(self, row: int, num_epochs: int) -> list[int]:
        """Return the draw of `row` in each of the first epochs."""
        return [epoch * self.num_rows + _epoch(self, epoch).index(row) for epoch in range(num_epochs)]


class Epoch(Protocol):
    """One epoch of a shuffle: a permutation of the rows 0 … num_rows − 1."""

    settings: ClassVar[tuple[str, ...]]  # the fields of `Shuffle` that it uses

    def __init__(self, shuffled: Shuffled, epoch: int) -> None: ...

    def rows(self, indices: Numbers) -> Numbers:
        """Return the row at each index of the epoch."""

    def index(self, row: int) -> int:
        """Return the index at which a row stands: the inverse of `rows`."""


@lru_cache(maxsize=64)
def _epoch(shuffled: Shuffled, epoch: int) -> Epoch:
    return SHUFFLES[shuffled.shuffle.kind](shuffled, epoch)


class UnshuffledEpoch:
    """`none`: the order of the shards."""

    settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, shuffled: Shuffled, epoch: int) -> None:
        pass

    def rows(self, indices: Numbers) -> Numbers:
        return indices

    def index(self, row: int) -> int:
        return row


class GlobalEpoch:
    """`global`: any row may come at any index."""

    settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, shuffled: Shuffled, epoch: int) -> None:
        self._permutation = Permutation(shuffled.num_rows, shuffled.seed, shuffled.source, epoch)

    def rows(self, indices: Numbers) -> Numbers:
        return _forward(self._permutation, indices)

    def index(self, row: int) -> int:
        return int(self._permutation.inverse(np.array([row], dtype=np.uint64))[0])


class WindowEpoch:
    """`window`: blocks in random order, rows mixed within each window of `blocks` blocks.

    The rows are cut into units of `unit` rows (`run` blocks). Only the last unit may be short, by `missing` rows. The
    units are permuted, consecutive units make windows of `window` rows, and the rows of each window are permuted. All
    windows have exactly `window` rows, except the last one and the one that holds the short unit.
    """

    settings: ClassVar[tuple[str, ...]] = ("blocks", "run")

    def __init__(self, shuffled: Shuffled, epoch: int) -> None:
        self._shuffled, self._epoch = shuffled, epoch
        self.unit = shuffled.block_rows * shuffled.shuffle.run
        self.units_of_window = shuffled.shuffle.blocks // shuffled.shuffle.run
        self.window = self.unit * self.units_of_window
        self.num_units = -(-shuffled.num_rows // self.unit)
        self.missing = self.num_units * self.unit - shuffled.num_rows
        self.units = self._permutation("units", self.num_units)
        short_index = int(self.units.inverse(np.array([self.num_units - 1], dtype=np.uint64))[0])
        self.short_window, self.short_slot = divmod(short_index, self.units_of_window)

    def rows(self, indices: Numbers) -> Numbers:
        before_short_ends = indices < (self.short_window + 1) * self.window - self.missing
        windows = np.where(before_short_ends, indices, indices + self.missing) // self.window
        rows = np.empty_like(indices)
        for window, here in _runs(windows):
            rows[here] = self._rows_of_window(window, indices[here] - self._start(window))
        return rows

    def index(self, row: int) -> int:
        unit, offset = divmod(row, self.unit)
        unit_index = int(self.units.inverse(np.array([unit], dtype=np.uint64))[0])
        window, slot = divmod(unit_index, self.units_of_window)
        unmixed = slot * self.unit + offset
        if window == self.short_window and slot > self.short_slot:
            unmixed -= self.missing
        within = int(self._mixing(window).inverse(np.array([unmixed], dtype=np.uint64))[0])
        return self._start(window) + within

    def _rows_of_window(self, window: int, within: Numbers) -> Numbers:
        unmixed = _forward(self._mixing(window), within)
        if window == self.short_window:
            behind_short = unmixed >= (self.short_slot + 1) * self.unit - self.missing
            unmixed = unmixed + np.where(behind_short, self.missing, 0)
        slots, offsets = np.divmod(unmixed, self.unit)
        first = window * self.units_of_window
        unit_indices = np.arange(first, min(first + self.units_of_window, self.num_units), dtype=np.uint64)
        return self.units.forward(unit_indices).astype(np.int64)[slots] * self.unit + offsets

    def _start(self, window: int) -> int:
        """Return the index of the first row of a window in the epoch."""
        return window * self.window - (self.missing if window > self.short_window else 0)

    def _mixing(self, window: int) -> Permutation:
        """Return the permutation of the rows of a window."""
        size = min(self.window, self.num_units * self.unit - window * self.window)
        return self._permutation(f"window {window}", size - (self.missing if window == self.short_window else 0))

    def _permutation(self, part: str, n: int) -> Permutation:
        return Permutation(n, self._shuffled.seed, f"{self._shuffled.source} {part}", self._epoch)


SHUFFLES: dict[str, type[Epoch]] = {"global": GlobalEpoch, "window": WindowEpoch, "none": UnshuffledEpoch}


def _runs(values: Numbers) -> Iterator[tuple[int, slice]]:
    """Yield each stretch of equal values. Consecutive positions have few of them, and no sorting is needed."""
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    for start, stop in pairwise(edges):
        if start < stop:
            yield int(values[start]), slice(start, stop)


def _forward(permutation: Permutation, indices: Numbers) -> Numbers:
    return permutation.forward(indices.view(np.uint64)).view(np.int64)
