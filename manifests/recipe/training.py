"""`train:` of a recipe: the model, its optimizer, how a step is cut into micro-batches, and what is kept of the run.

    Train(preset="tiny", steps=60, micro_batches=8)

None means: as the preset has it, or derived where a comment says so; run.json records the numbers.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..order.shuffle import Shuffle
from .model_options import ModelOptions
from .section import Name, Section

PresetName = Literal["tiny", "demo", "small", "compact-100m", "compact-400m", "cogview-tutorial", "cogview-base"]
Layout = Literal["compact", "cogview"]  # of ids and positions; cogview: 32 × 32 codes of 8,192
Sharded = Literal["none", "optimizer", "model"]


class Lora(Section):
    """Of each matrix of the blocks an update of that rank is learned, and nothing else (arXiv 2106.09685)."""

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0  # the update counts alpha / rank times


class Refine(Section):
    """Codes of a picture are continued with finer ones, a window at a time, as CogView's super-resolution does."""

    codes: Name  # of `tokenize.also`: the same pictures in a finer grid
    window: Annotated[int, Field(ge=1)] | None = None  # codes on a side; None: half of the grid


class Train(Section):
    preset: PresetName = "demo"
    init: str | None = None  # the finished run that it begins from: a folder, relative to the recipe, or `emoji`
    lora: Lora | None = None  # of a training with `init`: the base stays as it is
    refine: Refine | None = None  # finer codes are all that is learned; needs `init`
    model: ModelOptions = ModelOptions()
    layout: Layout | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None  # the number of steps is measured once, recorded, and kept
    steps: Annotated[int, Field(ge=1)] | None = None  # states it outright; the run is then the same on any machine
    samples: Annotated[int, Field(ge=1)] | None = None  # rows that are read in all, in whole steps; instead of `steps`
    batch: Annotated[int, Field(ge=1)] | None = None  # rows a step; None: the preset's
    micro_batches: Annotated[int, Field(ge=1)] | None = None  # of a step, a power of two: as many ranks can share it
    reduction: Literal["exact", "fast"] = "exact"  # exact: the same bits for any number of ranks
    sharded: Sharded = "none"  # what ranks share out: the optimizer's state (the same bits), or the model too (FSDP2)
    threads: Annotated[int, Field(ge=1)] | None = None  # of each rank; None: the CPUs shared by the ranks of a machine
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: of matrices between the first and the last layer
    lr: Annotated[float, Field(gt=0)] | None = None
    schedule: Literal["cosine", "wsd"] = "cosine"  # wsd: stable until the last fifth; the run can be made longer
    warmup: Annotated[int, Field(ge=0)] | None = None  # steps; None: cosine 4% of all, wsd the preset's
    decay_share: Annotated[float, Field(gt=0, le=1)] = 0.2  # of all steps, at the end of wsd
    clip: Annotated[float, Field(gt=0)] = 1.0  # largest norm of the gradient
    skip_steps: list[tuple[int, int]] = Field(default=[])  # [[1040, 1060]]: those are read, but not learned from
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.0  # decay of a moving average of the weights, which then paints
    drop_captions: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of positions that learn without one: --guidance
    code_noise: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of the codes that are read as random ones in training
    caption_noise: Annotated[float, Field(ge=0, le=1)] = 0.0  # share with 1 to 4 random pieces around their caption
    reverse: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of positions that learn the caption from the picture
    reverse_weight: Annotated[float, Field(ge=0)] = 1.0  # of a target of such a caption in the loss
    text_weight: Annotated[float, Field(ge=0)] = 1.0  # of a target of text in the loss; one of a code has 1
    first_code_weight: Annotated[float, Field(ge=1)] = 1.0  # of a picture's first code; the j-th: 1 + (weight − 1) / j
    seed: int = 0
    shuffle: Shuffle = Shuffle()  # window: for shards that are remote, or more than memory holds
    verify: Literal["off", "first", "block", "always"] = "block"  # how shards are checked while they are read
    checkpoint_every: Annotated[int, Field(ge=1)] = 200  # steps
    keep: Annotated[int, Field(ge=1)] = 2  # checkpoints, the newest
    validate_every: Annotated[int, Field(ge=0)] = 200  # steps; 0: never
    validation_rows: Annotated[int, Field(ge=1)] = 1024  # of the held-out split at most, the first ones
    sketch_every: Annotated[int, Field(ge=0)] = 0  # steps, after which the same held-out captions are painted; 0: never
    tensorboard: bool = False  # beside losses.jsonl; needs `pip install tuwen[tensorboard]`
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # of matrix products; float16 scales the loss
    telemetry: bool | Literal["layers"] = False  # largest |residual|, score and |logit| of a step, in losses.jsonl

    @model_validator(mode="after")
    def _ends_once(self) -> "Train":
        if self.steps is not None and self.samples is not None:
            raise ValueError(f"steps {self.steps} and samples {self.samples} both say when it ends: leave one away")
        return self

    @model_validator(mode="after")
    def _micro_batches_halve(self) -> "Train":
        count = self.micro_batches
        if count is not None and count & (count - 1):
            raise ValueError(f"micro_batches {count} is no power of two; their gradients are summed in pairs")
        if count is not None and self.batch is not None and self.batch % count:
            raise ValueError(f"a batch of {self.batch} rows is no multiple of {count} micro-batches")
        return self

    @model_validator(mode="after")
    def _has_a_base(self) -> "Train":
        if self.lora is not None and self.init is None:
            raise ValueError("lora updates the matrices of another run: say init: RUN, too")
        return self

    @model_validator(mode="after")
    def _can_refine(self) -> "Train":
        if self.refine is None:
            return self
        if self.init is None:
            raise ValueError("refine continues what another run paints: say init: RUN, too")
        if self.lora is not None:
            raise ValueError("refine learns new ids, and lora leaves ids as they are: leave lora away")
        if self.reverse or self.sketch_every:
            raise ValueError("refine learns and paints finer codes alone: leave reverse and sketch_every away")
        return self

    @model_validator(mode="after")
    def _can_be_sharded(self) -> "Train":
        if self.sharded != "none" and self.optimizer == "muon":
            raise ValueError(f"sharded: {self.sharded} cuts matrices anywhere, and muon needs them whole: say adamw")
        if self.sharded == "model" and self.reduction == "exact":
            raise ValueError("sharded: model sums gradients in an order of the library's: say reduction: fast, too")
        if self.sharded == "model" and self.lora is not None:
            raise ValueError("sharded: model shares out what is learned, and lora learns little: say sharded: none")
        if self.sharded == "model" and self.sketch_every:
            raise ValueError("sharded: model leaves no rank a whole model that could paint: say sketch_every: 0")
        return self
