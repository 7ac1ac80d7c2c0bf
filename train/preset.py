"""The presets that are shipped, and the settings of a run: the recipe's numbers, else those of its preset.

    settings = resolve_settings(recipe.train, layout)       # every number but that of the steps
    num_steps = declared_steps(recipe.train)                # None when the recipe states minutes

A preset is one row of `PRESETS`.
"""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from ..manifests.order.shuffle import Shuffle
from ..manifests.recipe.recipe import Train
from ..tokenize.sequence import SequenceLayout
from .model import ModelConfig

WARMUP_SHARE = 0.04  # of all steps


@dataclass(frozen=True, kw_only=True)
class Preset:
    width: int
    depth: int  # blocks
    heads: int
    batch: int  # rows a step
    lr: float  # peak learning rate
    steps: int


PRESETS = {
    # for tests
    "tiny": Preset(width=64, depth=2, heads=2, batch=16, lr=2e-3, steps=60),
    # eight minutes on two cores
    "demo": Preset(width=512, depth=4, heads=4, batch=32, lr=2.5e-3, steps=2000),
    # a first run on a GPU
    "small": Preset(width=768, depth=12, heads=12, batch=256, lr=6e-4, steps=50_000),
}


class TrainSettings(BaseModel):
    """What a run is, except for its data and its number of steps; `settings` in run.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig
    batch: int  # rows a step
    lr: float  # peak learning rate
    seed: int  # of the first weights and of the order of the rows
    shuffle: Shuffle = Shuffle()


def resolve_settings(recipe: Train, layout: SequenceLayout) -> TrainSettings:
    preset = PRESETS[recipe.preset]
    model = ModelConfig(
        vocab_size=layout.vocab,
        num_positions=layout.length,
        width=preset.width,
        depth=preset.depth,
        heads=preset.heads,
    )
    return TrainSettings(
        model=model,
        batch=recipe.batch or preset.batch,
        lr=recipe.lr or preset.lr,
        seed=recipe.seed,
        shuffle=recipe.shuffle,
    )


def declared_steps(recipe: Train) -> int | None:
    """The number of steps, or None when the recipe states minutes: then it is measured (`time_steps.steps_within`)."""
    if recipe.steps:
        return recipe.steps
    return None if recipe.minutes else PRESETS[recipe.preset].steps
