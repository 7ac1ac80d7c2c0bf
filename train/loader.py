"""The stream as a PyTorch data set and loader, for trainers of your own.

    dataset = ShardDataset("runs/emoji/shards", seed=0, batch=256, rank=rank, world_size=world_size)
    loader = ShardLoader(dataset, num_workers=2, pin_memory=True)
    for batch in loader:                    # endless; codes (b, h·w), text (b, longest), lengths (b,): int64 tensors
        …
        checkpoint = loader.state_dict()    # about 200 bytes, the same on every rank; load_state_dict() continues there

`ShardDataset` alone is an IterableDataset for any DataLoader with `batch_size=None`. It keeps torchdata's convention
(`state_dict`, `load_state_dict`), so StatefulDataLoader stores and restores it too. Worker w of n yields the steps
w, w + n, …; a DataLoader takes them in turn, so the batches come in the order of the steps for any n.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ..manifests.errors import CheckFailed
from ..manifests.manifest import load_manifest
from ..manifests.order.order import open_order
from ..manifests.order.shuffle import Shuffle
from ..manifests.shards.split_reader import SplitReader, Verify
from .reading.consumed import Consumed, StreamState
from .reading.read_plan import ReadPlan


class Batch(TypedDict):
    """This rank's b rows of a step, as int64 tensors."""

    codes: Tensor  # (b, h·w)
    text: Tensor  # (b, longest), padded with 0
    lengths: Tensor  # (b,), of the captions


class WorkerState(TypedDict):
    """How far one worker of a DataLoader has come; torchdata keeps one for each worker."""

    start: int  # samples that were consumed before the worker's first batch
    steps: int  # batches that the worker has yielded since
    batch: int  # rows of a step, all ranks together
    sampler: str  # id of the order
    workers: int


class ShardDataset(IterableDataset[Batch]):
    """Raises BadInput for a manifest that is not there, an empty split, or ranks that do not divide the batch."""

    def __init__(
        self,
        manifest: Path | str,
        split: str = "train",
        *,
        seed: int,
        batch: int,
        rank: int = 0,
        world_size: int = 1,
        shuffle: Shuffle | None = None,
        verify: Verify = "block",
    ) -> None:
        """`manifest` is a folder, a file or a URL; `batch` counts the rows of a step over all ranks."""
        self.plan = ReadPlan(
            seed=seed, batch=batch, shuffle=shuffle or Shuffle(), split=split, verify=verify,
            rank=rank, world_size=world_size,
        )  # fmt: skip
        self.manifest = load_manifest(manifest, "shards")
        self.order = open_order(self.manifest, split, seed, self.plan.shuffle)
        self.start = 0  # samples that were consumed before the first batch
        self._steps_done = 0  # since `start`, by this worker
        self._restored = False
        self._reader()  # refuses shards that it cannot read, here and not in a worker

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, num_workers = (worker.id, worker.num_workers) if worker else (0, 1)
        reader = self._reader()
        rank_rows = np.arange(self.plan.batch)[self.plan.rank_rows]
        if not self._restored:  # a second `iter` begins anew, with workers and without
            self._steps_done = 0
        self._restored = False
        while True:
            step = number + num_workers * self._steps_done
            positions = self.start + step * self.plan.batch + rank_rows
            codes, text, lengths = reader.rows(self.order.rows(positions))
            self._steps_done += 1
            yield {"codes": _tensor(codes), "text": _tensor(text), "lengths": _tensor(lengths)}

    def state_dict(self) -> WorkerState:
        return {
            "start": self.start, "steps": self._steps_done, "batch": self.plan.batch, "sampler": self.order.id,
            "workers": _num_workers(),
        }  # fmt: skip

    def load_state_dict(self, state: WorkerState) -> None:
        """Continue from `state`.

        Raises CheckFailed when the order, the batch or the number of workers is another one. `ShardLoader` takes any
        number of workers.
        """
        same = {
            "sampler": state["sampler"] == self.order.id,
            "batch": state["batch"] == self.plan.batch,
            "workers": state["workers"] == _num_workers(),
        }
        differing = [name for name, is_same in same.items() if not is_same]
        if differing:
            raise CheckFailed(
                f"the state is of another data set: {', '.join(differing)} differ", cure="give those it began with"
            )
        self.start, self._steps_done, self._restored = state["start"], state["steps"], True

    def _reader(self) -> SplitReader:
        return SplitReader(self.manifest, self.plan.split, self.plan.verify)


class ShardLoader:
    """A DataLoader that counts the batches it has returned, so its state fits any number of ranks and workers."""

    def __init__(self, dataset: ShardDataset, num_workers: int = 0, **options: Any) -> None:
        """`options` go to torch's DataLoader; `batch_size` and samplers must not be among them."""
        self._dataset, self._num_workers, self._options = dataset, num_workers, options
        self._consumed = Consumed(dataset.manifest.id, dataset.order)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches without end, from the first one that was not returned yet."""
        self._dataset.start = self._consumed.samples
        for batch in DataLoader(self._dataset, batch_size=None, num_workers=self._num_workers, **self._options):
            positions = self._consumed.samples + np.arange(self._dataset.plan.batch)
            self._consumed.add(self._dataset.order.rows(positions))
            yield batch

    def state_dict(self) -> StreamState:
        return self._consumed.state()

    def load_state_dict(self, state: StreamState) -> None:
        """Continue from `state` at the next `iter`.

        Raises CheckFailed, with the fields that differ, for the state of another stream.
        """
        self._consumed.resume(state)


def _num_workers() -> int:
    worker = get_worker_info()
    return worker.num_workers if worker else 1


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.int64))
