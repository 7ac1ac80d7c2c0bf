"""Manifest and seed → batches; a batch is a pure function of its step.

    stream = open_stream(manifest, "train", seed=0, batch=64, threads=1)
    codes, text, lengths = stream.next()
    stream.state()          # about 200 bytes, the same on every rank; give it to `resume`

Rank r of W at step t with global batch G reads positions t·G + r·G/W + [0, G/W). Threads fetch ahead: they compute the
order of many steps at once and gather their rows, and what they do never shows in the batches. The state counts what
the trainer consumed, never what was fetched ahead, and its digest proves which rows those were.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..manifests.errors import BadInput, CheckFailed
from ..manifests.manifest import Manifest
from ..manifests.order.order import Order, open_order
from ..manifests.order.shuffle import Shuffle
from ..manifests.shards.split_reader import Rows, SplitReader, Verify

MOST_POSITIONS = 1 << 18  # of all ranks, whose order is computed at once: 2 MB
FETCH_ROWS = 8192  # of a rank, fetched at once: the order costs 55 ns a row then, and 370 ns with 512


class Stream:
    """Endless; `next` is for one thread."""

    def __init__(
        self,
        reader: SplitReader,
        order: Order,
        batch: int,
        rank: int = 0,
        world_size: int = 1,
        micro_batches: int = 1,
        threads: int = 0,
    ) -> None:
        """`batch` is the global one; ranks and the `micro_batches` of each must divide it.

        Without threads the rows are fetched by `next` itself, of as many steps at once.
        """
        if min(batch, world_size, micro_batches) < 1 or not 0 <= rank < world_size:
            raise BadInput(
                f"rank {rank} of {world_size}, a batch of {batch} in {micro_batches} micro-batches",
                cure="count ranks from 0, and the others from 1",
            )
        if batch % (world_size * micro_batches):
            shared = f"{world_size} ranks" + (f" with {micro_batches} micro-batches each" if micro_batches > 1 else "")
            raise BadInput(f"a batch of {batch} cannot be shared by {shared}", cure="make it a multiple of them")
        self.batch = batch
        self.consumed = Consumed(reader.manifest.id, order)
        self._reader, self._order, self._rank = reader, order, rank
        self._share, self._micro_batches = batch // world_size, micro_batches
        self._most_steps = max(1, min(FETCH_ROWS // self._share, MOST_POSITIONS // batch))
        self._threads = ThreadPoolExecutor(threads, "fetch") if threads else None
        self._num_ahead = threads + 1
        self._fetching: deque[Future[_Fetched]] = deque()
        self._fetched: _Fetched | None = None
        self._micro_batch = 0  # of what is fetched, the next
        self._next_fetch = 0  # position
        self._num_steps = 1  # of the next fetch; doubled with each: the first batch comes at once

    def next(self) -> Rows:
        """This rank's next (micro-)batch: codes (b, h·w), caption ids (b, longest), lengths (b,).

        Raises CheckFailed on a fault, which names shard, block and cure; called again, it tries the same step again.
        """
        try:
            fetched = self._first_fetched()
            batch = next(fetched.own)
        except BaseException:
            self._restart()
            raise
        self._micro_batch += 1
        if self._micro_batch % self._micro_batches == 0:
            step = self._micro_batch // self._micro_batches - 1
            self.consumed.add(fetched.rows[step])
            if step + 1 == len(fetched.rows):
                self._fetched, self._micro_batch = None, 0
        return batch

    def __iter__(self) -> Iterator[Rows]:
        while True:
            yield self.next()

    def state(self) -> dict[str, Any]:
        """After whole steps; in the midst of one, of its beginning."""
        return self.consumed.state()

    def resume(self, state: dict[str, Any]) -> None:
        """Raises CheckFailed, naming the fields, when `state` is of another stream."""
        self.consumed.resume(state)
        self._restart()

    def close(self) -> None:
        """What is being fetched is left to itself: a server that stalls must not keep a trainer from ending."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _restart(self) -> None:
        for future in self._fetching:
            future.cancel()
        self._fetching.clear()
        self._fetched = None
        self._micro_batch, self._next_fetch, self._num_steps = 0, self.consumed.samples, 1

    def _first_fetched(self) -> "_Fetched":
        if self._fetched is None:
            if self._threads is None:
                self._fetched = self._fetch(*self._reserve())
            else:
                while len(self._fetching) < self._num_ahead:
                    self._fetching.append(self._threads.submit(self._fetch_all, *self._reserve()))
                self._fetched = self._fetching.popleft().result()
        return self._fetched

    def _reserve(self) -> tuple[int, int]:
        start, num_steps = self._next_fetch, self._num_steps
        self._next_fetch += num_steps * self.batch
        self._num_steps = min(2 * num_steps, self._most_steps)
        return start, num_steps

    def _fetch(self, start: int, num_steps: int) -> "_Fetched":
        """The steps from position `start` on."""
        rows = self._order.rows(np.arange(start, start + num_steps * self.batch)).reshape(num_steps, self.batch)
        first = self._rank * self._share
        own = rows[:, first : first + self._share].reshape(-1)
        return _Fetched(rows, self._reader.batches(own, self._share // self._micro_batches))

    def _fetch_all(self, start: int, num_steps: int) -> "_Fetched":
        fetched = self._fetch(start, num_steps)
        return _Fetched(fetched.rows, iter(list(fetched.own)))


@dataclass(frozen=True)
class _Fetched:
    rows: NDArray[np.int64]  # (steps, global batch)
    own: Iterator[Rows]  # this rank's micro-batches


class Consumed:
    """How far a trainer has come, and the proof of what it has read.

    The digest is rolling, over the rows of every global batch; with the manifest's id, which holds the bytes of every
    row, it says what went into the trainer, whatever the ranks, threads and stops on the way.
    """

    def __init__(self, manifest_id: str, order: Order) -> None:
        self._fixed = {"manifest": manifest_id, "sampler": order.id[7:39], "seed": order.sources[0].seed}
        self.samples, self.digest = 0, ""

    def add(self, rows: NDArray[np.int64]) -> None:
        data = self.digest.encode() + rows.astype("<i8", copy=False).tobytes()
        self.digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        self.samples += len(rows)

    def state(self) -> dict[str, Any]:
        return {**self._fixed, "samples": self.samples, "digest": self.digest}

    def resume(self, state: dict[str, Any]) -> None:
        """Raises CheckFailed, naming the fields, when `state` is of another stream."""
        differ = [name for name, value in self._fixed.items() if state.get(name) != value]
        if differ:
            raise CheckFailed(
                f"the state is of another stream: {', '.join(differ)} differ",
                cure="give the shards, the shuffle and the seed it began with",
            )
        self.samples, self.digest = int(state["samples"]), str(state["digest"])


def open_stream(
    manifest: Manifest,
    split: str = "train",
    *,
    seed: int,
    batch: int,
    shuffle: Shuffle | None = None,
    verify: Verify = "block",
    rank: int = 0,
    world_size: int = 1,
    micro_batches: int = 1,
    threads: int = 1,
) -> Stream:
    """Raises BadInput when the split is empty, or the ranks do not divide the batch."""
    order = open_order(manifest, split, seed, shuffle)
    return Stream(SplitReader(manifest, split, verify), order, batch, rank, world_size, micro_batches, threads)
