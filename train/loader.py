"""The stream with PyTorch's face, for those who bring their own trainer.

    dataset = ShardDataset("runs/emoji/shards", seed=0, batch=256, rank=rank, world_size=world_size)
    loader = ShardLoader(dataset, num_workers=2, pin_memory=True)
    for batch in loader:                    # endless; codes (b, h·w), text (b, longest), lengths (b,): int64 tensors
        …
        checkpoint = loader.state_dict()    # about 200 bytes, the same on every rank; load_state_dict() goes on

`ShardDataset` alone is an IterableDataset that any DataLoader takes with `batch_size=None`, and that keeps torchdata's
convention (`state_dict`, `load_state_dict`), so StatefulDataLoader stores and restores it too. Worker w of n yields the
steps w, w + n, …; a DataLoader hands them out in turn, so the batches come in the order of the steps for any n.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ..manifests.errors import CheckFailed
from ..manifests.manifest import load_manifest
from ..manifests.order.order import open_order
from ..manifests.order.shuffle import Shuffle
from ..manifests.shards.split_reader import SplitReader, Verify
from .stream import Consumed, Stream

Batch = dict[str, torch.Tensor]


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
        self.manifest = load_manifest(manifest, "shards")
        self.order = open_order(self.manifest, split, seed, shuffle)
        self.batch, self._rank, self._world_size = batch, rank, world_size
        self._split, self._verify = split, verify
        self.start = 0  # samples that were consumed before the first batch
        self._steps_done = 0  # since then, by this worker
        self._restored = False
        Stream(self._reader(), self.order, batch, rank, world_size)  # refuses what cannot be, here and not in a worker

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, num_workers = (worker.id, worker.num_workers) if worker else (0, 1)
        reader = self._reader()
        share = self.batch // self._world_size
        own = self._rank * share + np.arange(share)
        if not self._restored:  # a second `iter` begins anew, with workers and without
            self._steps_done = 0
        self._restored = False
        while True:
            step = number + num_workers * self._steps_done
            found = reader.rows(self.order.rows(self.start + step * self.batch + own))
            self._steps_done += 1
            yield {name: torch.from_numpy(array.astype(np.int64)) for name, array in zip(_NAMES, found, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        """Of this worker: torchdata keeps one for each."""
        worker = get_worker_info()
        return {
            "start": self.start, "steps": self._steps_done, "batch": self.batch, "sampler": self.order.id,
            "workers": worker.num_workers if worker else 1,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises CheckFailed for a state of another order, or of another number of workers: `ShardLoader` takes any."""
        worker = get_worker_info()
        ours = {"sampler": self.order.id, "batch": self.batch, "workers": worker.num_workers if worker else 1}
        differ = [name for name, value in ours.items() if state[name] != value]
        if differ:
            raise CheckFailed(
                f"the state is of another data set: {', '.join(differ)} differ", cure="give those it began with"
            )
        self.start, self._steps_done, self._restored = state["start"], state["steps"], True

    def _reader(self) -> SplitReader:
        return SplitReader(self.manifest, self._split, self._verify)


class ShardLoader:
    """A DataLoader that counts what was handed out, so its state fits any number of ranks and workers."""

    def __init__(self, dataset: ShardDataset, num_workers: int = 0, **options: Any) -> None:
        """`options` are those of torch's DataLoader, `batch_size` and samplers aside."""
        self._dataset, self._num_workers, self._options = dataset, num_workers, options
        self._consumed = Consumed(dataset.manifest.id, dataset.order)

    def __iter__(self) -> Iterator[Batch]:
        """Begins where the last batch that was handed out ended."""
        self._dataset.start = self._consumed.samples
        for batch in DataLoader(self._dataset, batch_size=None, num_workers=self._num_workers, **self._options):
            positions = self._consumed.samples + np.arange(self._dataset.batch)
            self._consumed.add(self._dataset.order.rows(positions))
            yield batch

    def state_dict(self) -> dict[str, Any]:
        return self._consumed.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises CheckFailed, naming the fields, when `state` is of another stream; the next `iter` goes on there."""
        self._consumed.resume(state)


_NAMES = ("codes", "text", "lengths")
