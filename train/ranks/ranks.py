"""The processes of one training: which of them this one is, and what they send to one another.

    ranks = Ranks()                                        # one process, which has nobody to talk to
    with joined("tcp://10.0.0.7:29500?rank=1&world_size=4") as ranks:
        ranks.exchange(partner=0, send=upper, receive=lower)

Tensors travel between pairs of ranks, over gloo on CPUs and NCCL on GPUs. A rank that ends with an error leaves its
words in the store of the group, so that the others end with them too, and with the rank's name.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from ...manifests.errors import BadInput, CheckFailed, TuwenError

_ENDED = "tuwen/ended"  # key of the store: what the first rank that ended says
_PATIENCE = timedelta(minutes=10)  # with a rank that does not come, or neither answers nor hangs up
_LAST_WORDS_SECONDS = 1.0  # that the first rank stays after an error, so that the others can read whose it was
DIED_CURE = "give the same command again: it goes on from the last checkpoint"


@dataclass(frozen=True)
class Ranks:
    rank: int = 0
    world_size: int = 1  # a power of two
    on_this_machine: int = 1  # ranks that share its CPUs

    @property
    def is_first(self) -> bool:
        """Whether this rank writes the run's files and shows its progress."""
        return self.rank == 0

    def exchange(self, partner: int, send: Tensor, receive: Tensor) -> None:
        """Send to `partner` and receive from it at the same time. Raises CheckFailed when it has ended."""
        operations = [dist.P2POp(dist.isend, send, partner), dist.P2POp(dist.irecv, receive, partner)]
        with _heard(partner):
            for work in dist.batch_isend_irecv(operations):
                work.wait()

    def total(self, numbers: Sequence[int]) -> list[int]:
        """Sum the numbers of all ranks, each on its own; integers have the same sum in any order."""
        return self._combined(torch.tensor(numbers), torch.add)

    def largest(self, numbers: Sequence[float]) -> list[float]:
        """The largest of the numbers of all ranks, each on its own."""
        return self._combined(torch.tensor(numbers, dtype=torch.float64), torch.maximum)

    def _combined(self, own: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> list[Any]:
        received = torch.empty_like(own)
        for distance in self.distances:
            self.exchange(self.rank ^ distance, own, received)
            own = combine(own, received)
        return own.tolist()

    @property
    def distances(self) -> list[int]:
        """From this rank to the partners of a reduction, the nearest first: 1, 2, 4, …"""
        return [1 << level for level in range(self.world_size.bit_length() - 1)]

    def slice_of(self, length: int) -> slice:
        """The part of a buffer that this rank has the sum of, after each distance has halved it."""
        start = 0
        for distance in self.distances:
            length //= 2
            start += length if self.rank & distance else 0
        return slice(start, start + length)

    def collected(self, own: Tensor) -> Tensor:
        """The tensors of all ranks, one after the other: (n, …) → (ranks · n, …), the same on every rank."""
        for distance in self.distances:
            received = torch.empty_like(own)
            self.exchange(self.rank ^ distance, own, received)
            own = torch.cat((received, own) if self.rank & distance else (own, received))
        return own

    def collect_slices(self, buffer: Tensor) -> None:
        """Let the first rank's `buffer`, on the CPU, have the slices of all."""
        slices = [buffer[replace(self, rank=rank).slice_of(len(buffer))] for rank in range(self.world_size)]
        with _heard(None):
            dist.gather(slices[self.rank].clone(), slices if self.is_first else None)

    def add_up(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over all ranks, in an order that the library chooses."""
        if self.world_size > 1:
            with _heard(None):
                dist.all_reduce(tensor)

    def from_first(self, value: Any) -> Any:
        """Return what the first rank gives; the others may give anything."""
        values = [value]
        if self.world_size > 1:
            with _heard(0):
                dist.broadcast_object_list(values, device=torch.device("cpu"))
        return values[0]


ALONE = Ranks()


@contextmanager
def joined(url: str, on_this_machine: int = 1) -> Iterator[Ranks]:
    """Meet the other ranks at `url`: `tcp://host:port?rank=…&world_size=…`, or `env://` as torchrun sets it.

    Raises BadInput when their number is no power of two, CheckFailed with the words of the rank that ended first.
    """
    store, rank, world_size = _met(url)
    if world_size & (world_size - 1):
        raise BadInput(f"{world_size} ranks: no power of two", cure="sums are made in pairs: give 1, 2, 4, 8, …")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        with _heard(None):
            dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=_PATIENCE)
        yield Ranks(rank, world_size, on_this_machine)
    except (TuwenError, RuntimeError) as error:
        first = _first_to_end(store, _plain(error))
        if rank == 0:
            time.sleep(_LAST_WORDS_SECONDS)
        raise first from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _met(url: str) -> tuple[Any, int, int]:
    """The store of the group, this rank and their number, once all have come."""
    try:
        store, rank, world_size = next(iter(rendezvous(url, timeout=_PATIENCE)))
    except RuntimeError:
        minutes = _PATIENCE.total_seconds() / 60
        raise CheckFailed(
            f"a rank did not come to {url.partition('?')[0]} within {minutes:g} minutes", cure="start all of them again"
        ) from None
    return store, rank, world_size


@contextmanager
def _heard(partner: int | None) -> Iterator[None]:
    """Any failure of a transfer means that a rank has ended: `partner`, or nobody knows which."""
    try:
        yield
    except RuntimeError as error:
        name = "a rank" if partner is None else f"rank {partner}"
        raise _RankEnded(f"{name} died", cure=DIED_CURE) from error


def _plain(error: TuwenError | RuntimeError) -> TuwenError:
    """Transfers that PyTorch makes by itself, of a model that is shared out, fail with its own words."""
    if isinstance(error, TuwenError):
        return error
    if isinstance(error, dist.DistError) or "gloo" in str(error):
        return _RankEnded("a rank died", cure=DIED_CURE)
    raise error


def _first_to_end(store: Any, error: TuwenError) -> TuwenError:
    """The error of the rank that ended first: this rank's own, unless another was before it."""
    own = f"{type(error).__name__}\n{error.problem}\n{error.cure}"
    try:
        kind, problem, cure = store.compare_set(_ENDED, "", own).decode().split("\n")
    except RuntimeError:  # the store is gone with the first rank, which keeps it
        return _RankEnded("rank 0 died", cure=DIED_CURE) if isinstance(error, _RankEnded) else error
    if problem == error.problem:
        return error
    return BadInput(problem, cure) if kind == "BadInput" else CheckFailed(problem, cure)


class _RankEnded(CheckFailed):
    """A rank has left without a word."""
