"""What a stream or a data set reads: which split in which order, how many rows a step, and which of them on this rank.

    plan = ReadPlan(seed=0, batch=256, rank=3, world_size=8)
    plan.rows_per_rank      # 32
    plan.rank_rows          # slice(96, 128)

Rank r of W at step t with a global batch of G rows reads the positions t·G + r·G/W + [0, G/W).
"""

from dataclasses import dataclass, field
from typing import get_args

from ...manifests.errors import BadInput
from ...manifests.order.shuffle import Shuffle
from ...manifests.shards.split_reader import Verify


@dataclass(frozen=True, kw_only=True)
class ReadPlan:
    """Raises BadInput for numbers that do not fit one another."""

    seed: int
    batch: int  # rows of a step, all ranks together
    shuffle: Shuffle = field(default_factory=Shuffle)
    split: str = "train"
    verify: Verify = "block"
    rank: int = 0  # of this process, from 0
    world_size: int = 1  # ranks
    micro_batches: int = 1  # of one rank in one step
    threads: int = 1  # that fetch ahead; with 0 each `next` fetches its own rows

    def __post_init__(self) -> None:
        if min(self.batch, self.world_size, self.micro_batches) < 1 or not 0 <= self.rank < self.world_size:
            raise BadInput(
                f"rank {self.rank} of {self.world_size}, a batch of {self.batch} in {self.micro_batches} micro-batches",
                cure="count ranks from 0, and the others from 1",
            )
        if self.threads < 0:
            raise BadInput(f"{self.threads} threads", cure="give 0 or more")
        if self.verify not in get_args(Verify):
            raise BadInput(f"verify={self.verify!r}", cure=f"give one of {', '.join(get_args(Verify))}")
        divisor = self.world_size * self.micro_batches
        if self.batch % divisor:
            ranks = f"{self.world_size} ranks"
            if self.micro_batches > 1:
                ranks += f" with {self.micro_batches} micro-batches each"
            raise BadInput(
                f"a batch of {self.batch} cannot be shared by {ranks}", cure=f"make it a multiple of {divisor}"
            )

    @property
    def rows_per_rank(self) -> int:
        """Rows of a step that one rank reads."""
        return self.batch // self.world_size

    @property
    def rows_per_micro_batch(self) -> int:
        return self.rows_per_rank // self.micro_batches

    def positions(self, step: int, micro_batch: int) -> range:
        """The positions of the rows of a micro-batch of this rank."""
        first = step * self.batch + self.rank_rows.start + micro_batch * self.rows_per_micro_batch
        return range(first, first + self.rows_per_micro_batch)

    @property
    def rank_rows(self) -> slice:
        """Which rows of a global batch this rank reads."""
        first = self.rank * self.rows_per_rank
        return slice(first, first + self.rows_per_rank)
