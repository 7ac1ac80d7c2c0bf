"""How far a trainer has read, and the proof of which rows it has read: the state that checkpoints carry.

    consumed = Consumed(manifest.id, order)
    consumed.add(rows)                  # of one whole global batch
    state = consumed.state()            # about 200 bytes, the same on every rank
    consumed.resume(state)

Rows that were fetched ahead do not count. The digest is rolling, over the rows of every global batch. Together with the
manifest's id, which covers the bytes of every row, it identifies what the trainer has read, for any number of ranks,
threads and interruptions.
"""

import hashlib
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from ...manifests.errors import CheckFailed
from ...manifests.order.order import Order


class StreamState(TypedDict):
    manifest: str  # id of the shard manifest
    sampler: str  # the first 32 hex digits of the order's id
    seed: int
    samples: int  # consumed by all ranks together
    digest: str  # 32 hex digits; empty before the first step


_MUST_MATCH: tuple[Literal["manifest", "sampler", "seed"], ...] = ("manifest", "sampler", "seed")


class Consumed:
    def __init__(self, manifest_id: str, order: Order) -> None:
        self._manifest_id = manifest_id
        self._sampler = order.id.removeprefix("sha256:")[:32]
        self._seed = order.sources[0].seed
        self.samples, self.digest = 0, ""

    def add(self, rows: NDArray[np.int64]) -> None:
        """Count one global batch, the rows of all ranks in order."""
        data = self.digest.encode() + rows.astype("<i8", copy=False).tobytes()
        self.digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        self.samples += len(rows)

    def state(self) -> StreamState:
        return {
            "manifest": self._manifest_id, "sampler": self._sampler, "seed": self._seed,
            "samples": self.samples, "digest": self.digest,
        }  # fmt: skip

    def resume(self, state: StreamState) -> None:
        """Continue from `state`. Raises CheckFailed, with the fields that differ, for the state of another stream."""
        own = self.state()
        differing = [name for name in _MUST_MATCH if state.get(name) != own[name]]
        if differing:
            raise CheckFailed(
                f"the state is of another stream: {', '.join(differing)} differ",
                cure="give the shards, the shuffle and the seed it began with",
            )
        self.samples, self.digest = int(state["samples"]), str(state["digest"])
