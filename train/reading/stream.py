"""Manifest and plan → batches; a batch is a pure function of its step.

    stream = open_stream(manifest, ReadPlan(seed=0, batch=64))
    codes, text, lengths = stream.next()
    stream.state()          # about 200 bytes, the same on every rank; give it to `resume`

Threads fetch ahead: they compute the order of many steps at once and gather their rows. Their number and their timing
never change a batch. The state counts what the trainer has consumed, not what was fetched ahead.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ...manifests.manifest import Manifest
from ...manifests.order.order import Order, open_order
from ...manifests.shards.split_reader import Rows
from .consumed import Consumed, StreamState
from .read_plan import ReadPlan
from .two_grids import RowReader, open_reader

MOST_POSITIONS = 1 << 18  # of all ranks, whose order is computed at once: 2 MB
FETCH_ROWS = 8192  # of a rank, fetched at once: the order costs 55 ns a row then, and 370 ns with 512


class Stream:
    """An endless sequence of batches. `next` must be called by one thread only."""

    def __init__(self, reader: RowReader, order: Order, plan: ReadPlan) -> None:
        self.plan = plan
        self.consumed = Consumed(reader.manifest.id, order)
        self._reader, self._order = reader, order
        self._most_steps = max(1, min(FETCH_ROWS // plan.rows_per_rank, MOST_POSITIONS // plan.batch))
        self._threads = ThreadPoolExecutor(plan.threads, "fetch") if plan.threads else None
        self._fetches_ahead = plan.threads + 1
        self._pending: deque[Future[_Fetched]] = deque()
        self._fetched: _Fetched | None = None  # where the next batch comes from
        self._micro_batch = 0  # number of the next one within `_fetched`
        self._next_position = 0  # of the next fetch
        self._next_steps = 1  # of the next fetch; doubles with each, so that the first batch comes at once

    def next(self) -> Rows:
        """Return this rank's next (micro-)batch: codes (b, h·w), caption ids (b, longest), lengths (b,).

        Raises CheckFailed, with shard, block and cure, when a shard is damaged; the next call tries the step again.
        """
        try:
            fetched = self._current_fetch()
            batch = next(fetched.own)
        except BaseException:
            self._restart()
            raise
        self._micro_batch += 1
        if self._micro_batch % self.plan.micro_batches == 0:
            step = self._micro_batch // self.plan.micro_batches - 1
            self.consumed.add(fetched.rows[step])
            if step + 1 == len(fetched.rows):
                self._fetched, self._micro_batch = None, 0
        return batch

    def __iter__(self) -> Iterator[Rows]:
        while True:
            yield self.next()

    def state(self) -> StreamState:
        """The state after the last whole step; micro-batches of an unfinished step do not count."""
        return self.consumed.state()

    def resume(self, state: StreamState) -> None:
        """Continue from `state`. Raises CheckFailed, with the fields that differ, for the state of another stream."""
        self.consumed.resume(state)
        self._restart()

    def close(self) -> None:
        """Stop fetching, without waiting: a server that stalls must not keep a trainer from ending."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _restart(self) -> None:
        """Forget what was fetched ahead, and fetch from the last consumed position on."""
        for future in self._pending:
            future.cancel()
        self._pending.clear()
        self._fetched = None
        self._micro_batch, self._next_position, self._next_steps = 0, self.consumed.samples, 1

    def _current_fetch(self) -> "_Fetched":
        if self._fetched is None:
            if self._threads is None:
                self._fetched = self._fetch(*self._reserve())
            else:
                while len(self._pending) < self._fetches_ahead:
                    self._pending.append(self._threads.submit(self._fetch_all, *self._reserve()))
                self._fetched = self._pending.popleft().result()
        return self._fetched

    def _reserve(self) -> tuple[int, int]:
        """The first position and the number of steps of the next fetch."""
        position, num_steps = self._next_position, self._next_steps
        self._next_position += num_steps * self.plan.batch
        self._next_steps = min(2 * num_steps, self._most_steps)
        return position, num_steps

    def _fetch(self, position: int, num_steps: int) -> "_Fetched":
        """The steps from `position` on; each batch is copied when it is asked for."""
        positions = np.arange(position, position + num_steps * self.plan.batch)
        rows = self._order.rows(positions).reshape(num_steps, self.plan.batch)
        own = rows[:, self.plan.rank_rows].reshape(-1)
        return _Fetched(rows, self._reader.batches(own, self.plan.rows_per_micro_batch))

    def _fetch_all(self, position: int, num_steps: int) -> "_Fetched":
        """As `_fetch`, with the batches copied already."""
        fetched = self._fetch(position, num_steps)
        return _Fetched(fetched.rows, iter(list(fetched.own)))


@dataclass(frozen=True)
class _Fetched:
    rows: NDArray[np.int64]  # (steps, global batch)
    own: Iterator[Rows]  # this rank's micro-batches


def open_stream(manifest: Manifest, plan: ReadPlan, finer: str | None = None) -> Stream:
    """Return the stream of one rank, whose codes are followed by those of the array `finer`, if any.

    Raises BadInput when the split is empty, or has no such array.
    """
    order = open_order(manifest, plan.split, plan.seed, plan.shuffle)
    return Stream(open_reader(manifest, plan.split, plan.verify, finer), order, plan)
