"""The optimizer as run.json has it, and its learning rate: a pure function of the step.

config = OptimizerConfig(num_steps=2000, schedule="wsd")
learning_rate(config, step=900)         # what an unbroken run has there, whenever this one was resumed
"""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Schedule = Literal["cosine", "wsd"]


class OptimizerConfig(BaseModel):
    """The defaults are those of the `demo` preset; docs/log/transformer.md has the trials."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["adamw", "muon"] = "adamw"
    num_steps: int = Field(gt=0)
    schedule: Schedule = "cosine"
    num_warmup_steps: int = Field(default=100, ge=0)
    decay_share: float = Field(default=0.2, gt=0, le=1)  # of all steps, at the end of `wsd`
    peak_learning_rate: float = Field(default=2e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.95)
    momentum: float = Field(default=0.95, ge=0, lt=1)  # of Muon
    weight_decay: float = Field(default=0.04, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)
    skip_steps: tuple[tuple[int, int], ...] = ()  # from the first to before the second: read, but not learned from
    averaging: float = Field(default=0.0, ge=0, lt=1)  # decay of the moving average of the weights; 0: none

    @model_validator(mode="after")
    def warmup_ends_before_the_run(self) -> "OptimizerConfig":
        if self.num_warmup_steps >= self.num_steps:
            raise ValueError(f"num_warmup_steps {self.num_warmup_steps} must be less than num_steps {self.num_steps}")
        return self

    @property
    def first_decay_step(self) -> int:
        """Where the learning rate begins to fall."""
        if self.schedule == "cosine":
            return self.num_warmup_steps
        return max(self.num_warmup_steps, self.num_steps - round(self.num_steps * self.decay_share))

    @property
    def branch_step(self) -> int | None:
        """Where plans of more steps begin to differ: its checkpoint is never pruned. None with `cosine`."""
        return self.first_decay_step if self.schedule == "wsd" else None


def learning_rate(config: OptimizerConfig, step: int) -> float:
    """Rises in a line to the peak at step num_warmup_steps, and falls to 0 at step num_steps.

    `cosine` falls on a cosine at once; `wsd` (warm-up, stable, decay) stays at the peak and falls in a line at the end.
    """
    if step < config.num_warmup_steps:
        return config.peak_learning_rate * (step + 1) / (config.num_warmup_steps + 1)
    first = config.first_decay_step
    done = min(max(0, step - first) / (config.num_steps - first), 1.0) if config.num_steps > first else 0.0
    share = 1 - done if config.schedule == "wsd" else 0.5 * (1 + math.cos(math.pi * done))
    return config.peak_learning_rate * share


def skips(config: OptimizerConfig, step: int) -> bool:
    return any(first <= step < end for first, end in config.skip_steps)
