"""Which row of one source is its d-th draw, as a pure function, and back.

    shuffled = Shuffled("sha256:…/train", num_rows=7213, seed=0, shuffle=Shuffle(kind="window"), block_rows=4096)
    shuffled.rows(np.arange(128))            # the rows of the first 128 draws
    shuffled.draws(row=5, num_epochs=3)      # when that row is drawn

Draw d lies in epoch d ÷ n; every epoch has a permutation of its own and draws each row exactly once.

    global   any row may come at any place
    window   blocks in random order, rows mixed within each window of `blocks` of them: few blocks are in use at a time
    none     the order of the shards

`window` is a closed form too: nothing is stored, and it has an exact inverse. Blocks that belong together (`run`) stay
side by side: with the blocks of a shard as a run, remote shards are fetched once an epoch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import BadInput
from .permutation import Permutation

Numbers = NDArray[np.int64]


class Shuffle(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["global", "window", "none"] = "global"
    blocks: Annotated[int, Field(ge=1)] = 64  # of a window
    run: Annotated[int, Field(ge=1)] = 1  # blocks that stay side by side; the window is a multiple of it

    @model_validator(mode="after")
    def _runs_fill_the_window(self) -> "Shuffle":
        if self.blocks % self.run:
            raise ValueError(
                f"a window of {self.blocks} blocks is not filled by runs of {self.run}; make it a multiple"
            )
        return self

    def document(self) -> dict[str, Any]:
        return self.model_dump() if self.kind == "window" else {"kind": self.kind}


def parse_shuffle(text: str) -> Shuffle:
    """`global`, `none`, `window:64`, `window:64:16` (blocks, run). Raises BadInput on anything else."""
    kind, *numbers = text.split(":")
    try:
        return Shuffle(kind=kind, **dict(zip(("blocks", "run"), map(int, numbers), strict=False)))  # type: ignore[arg-type]
    except ValueError:
        raise BadInput(f"--shuffle {text}", cure="say global, none, window:64 or window:64:16") from None


class _Epoch(Protocol):
    """One epoch of a shuffle: a permutation of all rows, and its inverse."""

    def rows(self, indices: Numbers) -> Numbers: ...

    def index(self, row: int) -> int: ...


@dataclass(frozen=True)
class Shuffled:
    source: str
    num_rows: int
    seed: int
    shuffle: Shuffle
    block_rows: int

    def rows(self, draws: Numbers) -> Numbers:
        epochs, indices = np.divmod(draws, self.num_rows)
        rows = np.empty(len(draws), dtype=np.int64)
        for epoch, here in _runs(epochs):
            rows[here] = self._epoch(epoch).rows(indices[here])
        return rows

    def draws(self, row: int, num_epochs: int) -> list[int]:
        """The draw of `row` in each of the first epochs."""
        return [epoch * self.num_rows + self._epoch(epoch).index(row) for epoch in range(num_epochs)]

    def _epoch(self, epoch: int) -> _Epoch:
        return _epoch(self, epoch)


@lru_cache(maxsize=64)
def _epoch(shuffled: Shuffled, epoch: int) -> _Epoch:
    return _EPOCHS[shuffled.shuffle.kind](shuffled, epoch)


class _AsTheyLie:
    def __init__(self, shuffled: Shuffled, epoch: int) -> None:
        pass

    def rows(self, indices: Numbers) -> Numbers:
        return indices

    def index(self, row: int) -> int:
        return row


class _Everything:
    def __init__(self, shuffled: Shuffled, epoch: int) -> None:
        self._permutation = Permutation(shuffled.num_rows, shuffled.seed, shuffled.source, epoch)

    def rows(self, indices: Numbers) -> Numbers:
        return _forward(self._permutation, indices)

    def index(self, row: int) -> int:
        return int(self._permutation.inverse(np.array([row], dtype=np.uint64))[0])


class _Windows:
    """One epoch of a window shuffle.

    The rows are cut into units of `unit` rows (`run` blocks), of which only the last may be short; it misses `missing`
    rows. The units are permuted, consecutive places make windows of `window` rows, and the rows of a window are
    permuted. All windows but the one that holds the short unit, and the last, have exactly `window` rows.
    """

    def __init__(self, shuffled: Shuffled, epoch: int) -> None:
        self._shuffled, self._epoch = shuffled, epoch
        self.unit = shuffled.block_rows * shuffled.shuffle.run
        self.units_of_window = shuffled.shuffle.blocks // shuffled.shuffle.run
        self.window = self.unit * self.units_of_window
        self.num_units = -(-shuffled.num_rows // self.unit)
        self.missing = self.num_units * self.unit - shuffled.num_rows
        self.units = self._permutation("units", self.num_units)
        short_at = int(self.units.inverse(np.array([self.num_units - 1], dtype=np.uint64))[0])
        self.short_window, self.short_place = divmod(short_at, self.units_of_window)

    def rows(self, indices: Numbers) -> Numbers:
        before_short_ends = indices < (self.short_window + 1) * self.window - self.missing
        windows = np.where(before_short_ends, indices, indices + self.missing) // self.window
        rows = np.empty_like(indices)
        for window, here in _runs(windows):
            rows[here] = self._rows_of_window(window, indices[here] - self._start(window))
        return rows

    def index(self, row: int) -> int:
        unit, offset = divmod(row, self.unit)
        place = int(self.units.inverse(np.array([unit], dtype=np.uint64))[0])
        window, slot = divmod(place, self.units_of_window)
        at = slot * self.unit + offset
        if window == self.short_window and slot > self.short_place:
            at -= self.missing
        within = int(self._mixing(window).inverse(np.array([at], dtype=np.uint64))[0])
        return self._start(window) + within

    def _rows_of_window(self, window: int, within: Numbers) -> Numbers:
        at = _forward(self._mixing(window), within)
        if window == self.short_window:
            at = at + np.where(at >= (self.short_place + 1) * self.unit - self.missing, self.missing, 0)
        slots, offsets = np.divmod(at, self.unit)
        first = window * self.units_of_window
        places = np.arange(first, min(first + self.units_of_window, self.num_units), dtype=np.uint64)
        return self.units.forward(places).astype(np.int64)[slots] * self.unit + offsets

    def _start(self, window: int) -> int:
        return window * self.window - (self.missing if window > self.short_window else 0)

    def _mixing(self, window: int) -> Permutation:
        size = min(self.window, self.num_units * self.unit - window * self.window)
        return self._permutation(f"window {window}", size - (self.missing if window == self.short_window else 0))

    def _permutation(self, part: str, n: int) -> Permutation:
        return Permutation(n, self._shuffled.seed, f"{self._shuffled.source} {part}", self._epoch)


# A shuffle is a name in `Shuffle.kind` and its row here.
_EPOCHS: dict[str, Callable[[Shuffled, int], _Epoch]] = {"global": _Everything, "window": _Windows, "none": _AsTheyLie}


def _runs(values: Numbers) -> Iterator[tuple[int, slice]]:
    """Each stretch of equal values: positions in order have few of them, and finding these needs no sorting."""
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    for start, stop in pairwise(edges):
        if start < stop:
            yield int(values[start]), slice(start, stop)


def _forward(permutation: Permutation, indices: Numbers) -> Numbers:
    return permutation.forward(indices.view(np.uint64)).view(np.int64)
