"""Loss scaling for float16: the loss is multiplied before the backward pass, so that small gradients do not vanish.

    scale = LossScale.of("float16")         # 1 for the other precisions, for good
    (loss * scale.value).backward()         # the summed gradient is divided by it again: a power of two, so exactly
    scale.update(is_finite)                 # halved after an overflow, doubled after 2,000 steps without one

An overflow anywhere makes the norm of the summed gradient infinite on every rank, so all of them skip the step.
"""

from dataclasses import dataclass
from typing import Self

from ..run.checkpoint import LossScaleState

FIRST = 2.0**16
LEAST = 1.0
GROWS_AFTER = 2000  # steps


@dataclass
class LossScale:
    value: float
    steps: int = 0
    overflows: int = 0
    is_fixed: bool = False

    @classmethod
    def of(cls, precision: str) -> Self:
        return cls(FIRST) if precision == "float16" else cls(1.0, is_fixed=True)

    def update(self, is_finite: bool) -> None:
        if self.is_fixed:
            return
        self.steps += 1
        if not is_finite:
            self.value, self.steps, self.overflows = self.value / 2, 0, self.overflows + 1
        elif self.steps == GROWS_AFTER:
            self.value, self.steps = self.value * 2, 0

    @property
    def is_exhausted(self) -> bool:
        """Whether overflows go on although the loss is not scaled up any more."""
        return self.value < LEAST

    def state(self) -> LossScaleState:
        return {"value": self.value, "steps": self.steps, "overflows": self.overflows}

    def resume(self, state: LossScaleState) -> None:
        self.value, self.steps, self.overflows = state["value"], state["steps"], state["overflows"]
