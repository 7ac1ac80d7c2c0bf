"""The shapes and speeds that are shipped, and how a recipe's words become a run's numbers.

    settings = settle(recipe.train, layout)          # every number named, nothing left open but the steps

`tiny` is for tests, `demo` for eight minutes on two cores, `small` for a first run on a GPU.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from ..manifests.order.shuffle import Shuffle
from ..manifests.recipe.recipe import Train
from ..tokenize.sequence import SequenceLayout
from .model import ModelConfig

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"width": 64, "depth": 2, "heads": 2, "batch": 16, "lr": 2e-3, "steps": 60},
    "demo": {"width": 512, "depth": 4, "heads": 4, "batch": 32, "lr": 2.5e-3, "steps": 2000},
    "small": {"width": 768, "depth": 12, "heads": 12, "batch": 256, "lr": 6e-4, "steps": 50_000},
}
WARMUP_SHARE = 0.04


class Settings(BaseModel):
    """What a run is, but for its data and its number of steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig
    batch: int
    lr: float
    seed: int
    shuffle: Shuffle = Shuffle()


def settle(recipe: Train, layout: SequenceLayout) -> Settings:
    preset = PRESETS[recipe.preset]
    model = ModelConfig(
        vocab_size=layout.vocab,
        num_positions=layout.length,
        width=preset["width"],
        depth=preset["depth"],
        heads=preset["heads"],
    )
    return Settings(
        model=model,
        batch=recipe.batch or preset["batch"],
        lr=recipe.lr or preset["lr"],
        seed=recipe.seed,
        shuffle=recipe.shuffle,
    )


def stated_steps(recipe: Train) -> int | None:
    """The number of steps, unless the recipe states minutes: then it is measured (`loop.steps_in`)."""
    if recipe.steps:
        return recipe.steps
    return None if recipe.minutes else int(PRESETS[recipe.preset]["steps"])
