"""Manifest and seed → batches; a batch is a pure function of its step.

    stream = Stream(SplitReader(manifest, "train"), seed=0, batch=64)
    codes, text, lengths = stream.next()
    stream.state()          # about 200 bytes, the same on every rank; give it to `resume`

Rank r of W at step t with global batch G reads positions t·G + r·G/W + [0, G/W). The state counts what the trainer
consumed, never what was fetched ahead, and its digest proves which rows those were.
"""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..manifests.errors import BadInput, CheckFailed
from ..manifests.order import Order
from ..manifests.split_reader import SplitReader


@dataclass(frozen=True)
class StreamState:
    source: str  # manifest id and split
    order: str
    seed: int
    samples: int  # consumed by all ranks together
    digest: str  # rolling, over the rows of every global batch


class Stream:
    def __init__(self, reader: SplitReader, seed: int, batch: int, rank: int = 0, world_size: int = 1) -> None:
        """`batch` is the global one; `world_size` must divide it."""
        if batch % world_size:
            raise BadInput(
                f"a batch of {batch} cannot be shared by {world_size} ranks", cure="make it a multiple of the ranks"
            )
        self._reader, self._rank, self._world_size, self.batch = reader, rank, world_size, batch
        self._order = Order(reader.source, len(reader), seed)
        self._samples, self._digest = 0, ""

    def next(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """This rank's share of the next batch: codes (b, h·w), caption ids (b, longest), lengths (b,)."""
        rows = self._order.rows(self._samples + np.arange(self.batch))
        self._digest = hashlib.blake2b(self._digest.encode() + rows.astype("<i8").tobytes(), digest_size=16).hexdigest()
        self._samples += self.batch
        share = self.batch // self._world_size
        return self._reader.rows(rows[self._rank * share : (self._rank + 1) * share])

    def state(self) -> dict[str, Any]:
        return asdict(StreamState(self._reader.source, self._order.id, self._order.seed, self._samples, self._digest))

    def resume(self, state: dict[str, Any]) -> None:
        """Raises CheckFailed, naming the fields, when `state` is of another stream."""
        ours = self.state()
        other = [name for name in ("source", "order", "seed") if state[name] != ours[name]]
        if other:
            raise CheckFailed(
                f"the checkpoint is of another stream: {', '.join(other)} differ",
                cure="give the shards and the seed it began with",
            )
        self._samples, self._digest = state["samples"], state["digest"]
