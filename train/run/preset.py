"""The presets that are shipped, and the settings of a run: the recipe's numbers, else those of its preset.

    settings = resolve_settings(recipe.train, layout, schema.codes)      # every number but that of the steps
    num_steps = declared_steps(recipe.train)                             # None when the recipe states minutes

A preset is one row of `PRESETS`, and its name in `PresetName`.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ...manifests.documents import CodesSchema
from ...manifests.errors import BadInput
from ...manifests.order.shuffle import Shuffle
from ...manifests.recipe.model_options import ModelOptions
from ...manifests.recipe.training import Layout, Lora, PresetName, Train
from ...manifests.validation_words import plain_errors
from ...tokenize.sequence import SequenceLayout
from ..ranks.reduction import Reduction
from ..transformer.model import ModelConfig
from ..transformer.rotary import CodeGrid
from .schedule import OptimizerConfig

WARMUP_SHARE = 0.04  # of all steps
NO_OPTIONS = ModelOptions()


@dataclass(frozen=True, kw_only=True)
class Preset:
    width: int
    depth: int  # blocks
    heads: int
    batch: int  # rows a step
    micro_batches: int  # of a step: at most so many ranks
    lr: float  # peak learning rate
    steps: int
    warmup: int  # steps of `wsd`, whatever their number in all
    options: ModelOptions = NO_OPTIONS  # None: the default of `ModelConfig`
    layout: Layout = "compact"


# Of arXiv 2105.13290. The code that its authors released has tied ids, too.
COGVIEW = ModelOptions(
    activation="gelu", relaxed_attention=True, relaxed_norms=True, tie_ids=True, embedding_gradient=0.1
)

PRESETS: dict[PresetName, Preset] = {
    # for tests
    "tiny": Preset(width=64, depth=2, heads=2, batch=16, micro_batches=4, lr=2e-3, steps=60, warmup=4),
    # eight minutes on two cores
    "demo": Preset(width=512, depth=4, heads=4, batch=32, micro_batches=2, lr=2.5e-3, steps=2000, warmup=80),
    # a first run on a GPU
    "small": Preset(width=768, depth=12, heads=12, batch=256, micro_batches=8, lr=6e-4, steps=50_000, warmup=2000),
    # a GPU of 80 GB or more, a day and a week
    "compact-100m": Preset(
        width=768, depth=12, heads=6, batch=512, micro_batches=8, lr=1e-3, steps=100_000, warmup=2000
    ),
    "compact-400m": Preset(
        width=1152, depth=24, heads=9, batch=512, micro_batches=16, lr=6e-4, steps=200_000, warmup=4000
    ),
    # CogView's model on one GPU, for 32 × 32 codes
    "cogview-tutorial": Preset(
        width=1024, depth=12, heads=16, batch=256, micro_batches=16, lr=3e-4, steps=50_000, warmup=1000,
        options=COGVIEW, layout="cogview",
    ),
    # the paper's: 4 billion parameters, 144,000 steps on 512 GPUs
    "cogview-base": Preset(
        width=2560, depth=48, heads=40, batch=6144, micro_batches=512, lr=3e-4, steps=144_000, warmup=2880,
        options=COGVIEW, layout="cogview",
    ),
}  # fmt: skip


class TrainSettings(BaseModel):
    """What a run is, except for its data and its number of steps; `settings` in run.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig
    lora: Lora | None = None  # what is learned of a base, whose weights are frozen; None: all weights are learned
    batch: int  # rows a step
    micro_batches: int  # of a step; their gradients are summed in a binary tree
    reduction: Reduction
    lr: float  # peak learning rate
    seed: int  # of the first weights and of the order of the rows
    shuffle: Shuffle = Shuffle()
    drop_captions: float = 0.0  # share of the positions whose captions are left away
    code_noise: float = 0.0  # share of the codes that are read as random ones
    caption_noise: float = 0.0  # share of the positions whose captions stand among random pieces
    reverse: float = 0.0  # share of the positions that learn the caption from the picture
    text_weight: float = 1.0  # of a target of text or commands in the loss that is learned from
    reverse_weight: float = 1.0  # of a target of a caption after its picture
    first_code_weight: float = 1.0  # of the first code of a picture there; code j has 1 + (weight − 1) / (j + 1)
    validate_every: int  # steps; 0: never
    validation_rows: int  # of the held-out split at most
    telemetry: bool | Literal["layers"]  # whether the log has the largest residual, score and logit


def model_config(
    name: PresetName, layout: SequenceLayout, codes: CodesSchema | None = None, options: ModelOptions = NO_OPTIONS
) -> ModelConfig:
    """The model of a preset with other options; `codes` says in which grid they lie, which only rotary2d needs.

    Raises BadInput when the options do not fit one another, or not the layout.
    """
    preset = PRESETS[name]
    chosen: dict[str, Any] = {"width": preset.width, "depth": preset.depth, "heads": preset.heads}
    chosen |= preset.options.model_dump(exclude_none=True) | options.model_dump(exclude_none=True)
    if chosen.get("positions") == "rotary2d":
        if codes is None or not layout.aligned:
            raise BadInput(
                f"`positions: rotary2d` cannot tell the codes of `layout: {layout.name}` by their positions",
                cure="say --set train.layout=compact, or --set train.model.positions=learned",
            )
        grid = codes.shape[:-1] if codes.codebooks > 1 else codes.shape
        chosen["grid"] = CodeGrid(
            first_position=layout.first_code_position, columns=grid[-1], codebooks=codes.codebooks
        )
    try:
        return ModelConfig(vocab_size=layout.vocab, num_positions=layout.length, **chosen)
    except ValidationError as error:
        problem = plain_errors(error, chosen)[0].problem
        raise BadInput(f"`train.model`: {problem}", cure="change one of the options") from None


def resolve_settings(
    recipe: Train, layout: SequenceLayout, codes: CodesSchema, of_base: ModelConfig | None = None
) -> TrainSettings:
    """`of_base` is the model of a run that this one begins from.

    Raises BadInput when the micro-batches do not divide the batch, or the model's options do not fit."""
    preset = PRESETS[recipe.preset]
    batch = recipe.batch or preset.batch
    if recipe.micro_batches and batch % recipe.micro_batches:
        raise BadInput(
            f"a batch of {batch} rows cannot be cut into {recipe.micro_batches} micro-batches",
            cure=f"give --set train.batch={batch - batch % recipe.micro_batches + recipe.micro_batches}",
        )
    return TrainSettings(
        model=of_base or model_config(recipe.preset, layout, codes, recipe.model),
        lora=recipe.lora,
        batch=batch,
        micro_batches=recipe.micro_batches or math.gcd(batch, preset.micro_batches),
        reduction=recipe.reduction,
        lr=recipe.lr or preset.lr,
        seed=recipe.seed,
        shuffle=recipe.shuffle,
        drop_captions=recipe.drop_captions,
        code_noise=recipe.code_noise,
        caption_noise=recipe.caption_noise,
        reverse=recipe.reverse,
        text_weight=recipe.text_weight,
        reverse_weight=recipe.reverse_weight,
        first_code_weight=recipe.first_code_weight,
        validate_every=recipe.validate_every,
        validation_rows=recipe.validation_rows,
        telemetry=recipe.telemetry,
    )


def resolve_optimizer(recipe: Train, num_steps: int) -> OptimizerConfig:
    """`wsd` warms up for a number of steps that does not depend on how many there are: else no run could be longer."""
    preset = PRESETS[recipe.preset]
    warmup = round(num_steps * WARMUP_SHARE) if recipe.schedule == "cosine" else preset.warmup
    return OptimizerConfig(
        kind=recipe.optimizer,
        num_steps=num_steps,
        schedule=recipe.schedule,
        num_warmup_steps=min(num_steps - 1, warmup if recipe.warmup is None else recipe.warmup),
        decay_share=recipe.decay_share,
        peak_learning_rate=recipe.lr or preset.lr,
        max_gradient_norm=recipe.clip,
        skip_steps=tuple(recipe.skip_steps),
        averaging=recipe.averaging,
    )


def declared_steps(recipe: Train) -> int | None:
    """The number of steps, or None when the recipe states minutes: then it is measured (`time_steps.steps_within`)."""
    preset = PRESETS[recipe.preset]
    if recipe.samples:
        return math.ceil(recipe.samples / (recipe.batch or preset.batch))
    return recipe.steps or (None if recipe.minutes else preset.steps)
