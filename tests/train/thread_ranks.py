"""Ranks that are threads of one process, and post to one another what processes would send.

on_ranks(4, lambda ranks: work(ranks))      # what it returns on each of them
"""

import pickle
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeVar

from torch import Tensor

from tuwen.train.ranks.ranks import Ranks

T = TypeVar("T")
Post = dict[tuple[int, int], SimpleQueue[Any]]  # (from, to) → what is under way
_SECONDS = 60  # that a rank waits for another


@dataclass(frozen=True)
class Threads(Ranks):
    post: Post = field(default_factory=dict)

    def exchange(self, partner: int, send: Tensor, receive: Tensor) -> None:
        self.post[self.rank, partner].put(send.clone())
        receive.copy_(self.post[partner, self.rank].get(timeout=_SECONDS))

    def from_first(self, value: Any) -> Any:
        for rank in range(self.world_size) if self.is_first else ():
            self.post[0, rank].put(pickle.dumps(value))
        return pickle.loads(self.post[0, self.rank].get(timeout=_SECONDS))

    def collect_slices(self, buffer: Tensor) -> None:
        self.post[self.rank, 0].put(buffer[self.slice_of(len(buffer))].clone())
        for rank in range(self.world_size) if self.is_first else ():
            own = Threads(rank, self.world_size).slice_of(len(buffer))
            buffer[own] = self.post[rank, 0].get(timeout=_SECONDS)


def on_ranks(world_size: int, work: Callable[[Ranks], T]) -> list[T]:
    post: Post = defaultdict(SimpleQueue)
    with ThreadPoolExecutor(world_size) as threads:
        return list(threads.map(work, [Threads(rank, world_size, post=post) for rank in range(world_size)]))
