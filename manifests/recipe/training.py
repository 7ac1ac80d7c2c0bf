"""`train:` of a recipe: the model, its optimizer, how a step is cut into micro-batches, and what is kept of the run.

    Train(preset="tiny", steps=60, micro_batches=8)

None means: as the preset has it, or derived where a comment says so; run.json records the numbers.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..order.shuffle import Shuffle
from .section import Section


class Train(Section):
    preset: Literal["tiny", "demo", "small"] = "demo"
    layout: Literal["compact", "cogview"] = "compact"  # of ids and positions; cogview: 32 × 32 codes of 8,192
    minutes: Annotated[float, Field(gt=0)] | None = None  # the number of steps is measured once, recorded, and kept
    steps: Annotated[int, Field(ge=1)] | None = None  # states it outright; the run is then the same on any machine
    batch: Annotated[int, Field(ge=1)] | None = None  # rows a step; None: the preset's
    micro_batches: Annotated[int, Field(ge=1)] | None = None  # of a step, a power of two: as many ranks can share it
    reduction: Literal["exact", "fast"] = "exact"  # exact: the same bits for any number of ranks
    threads: Annotated[int, Field(ge=1)] | None = None  # of each rank; None: the CPUs shared by the ranks of a machine
    lr: Annotated[float, Field(gt=0)] | None = None
    seed: int = 0
    shuffle: Shuffle = Shuffle()  # window: for shards that are remote, or more than memory holds
    verify: Literal["off", "first", "block", "always"] = "block"  # how shards are checked while they are read
    checkpoint_every: Annotated[int, Field(ge=1)] = 200  # steps
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of matrix products; run.json records what auto meant

    @model_validator(mode="after")
    def _micro_batches_halve(self) -> "Train":
        count = self.micro_batches
        if count is not None and count & (count - 1):
            raise ValueError(f"micro_batches {count} is no power of two; their gradients are summed in pairs")
        if count is not None and self.batch is not None and self.batch % count:
            raise ValueError(f"a batch of {self.batch} rows is no multiple of {count} micro-batches")
        return self
