"""The optimizers and their schedule: AdamW, or Muon for matrices and AdamW for the rest; clipped gradients.

The learning rate is a pure function of the step, so a run that resumes at step 900 has there what an unbroken one has.

    optimizers = new_optimizers(model, config)
    for step in range(config.num_steps):
        loss.backward()
        clip(model.parameters(), config, norm)
        take_step(optimizers, config, step)
        model.zero_grad()
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

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


def new_optimizers(
    model: nn.Module, config: OptimizerConfig, learned: Sequence[nn.Parameter] | None = None
) -> list[torch.optim.Optimizer]:
    """AdamW decays matrices, but not norms, biases and embeddings. Muon takes the matrices of the blocks.

    `learned` is what stands for each parameter of the model, and may be a part of it. Muon's update has the root mean
    square of AdamW's, so that one learning rate fits both (arXiv 2502.16982).
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    hidden: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for (name, parameter), part in zip(model.named_parameters(), learned or model.parameters(), strict=True):
        is_matrix = parameter.ndim >= 2 and id(parameter) not in embeddings
        is_hidden = is_matrix and config.kind == "muon" and not name.startswith("head.")
        (hidden if is_hidden else decayed if is_matrix else free).append(part)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    lr = config.peak_learning_rate
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=lr, betas=config.betas, fused=True)]
    if hidden:
        muon = torch.optim.Muon(
            hidden, lr=lr, weight_decay=config.weight_decay, momentum=config.momentum, adjust_lr_fn="match_rms_adamw"
        )
        optimizers.append(muon)
    return optimizers


def clip(parameters: Iterable[nn.Parameter], config: OptimizerConfig, norm: float) -> None:
    """Scale gradients of that norm down to the largest one that is allowed."""
    nn.utils.clip_grads_with_norm_(parameters, config.max_gradient_norm, torch.tensor(norm))


def take_step(optimizers: list[torch.optim.Optimizer], config: OptimizerConfig, step: int) -> None:
    """Set the step's learning rate and update."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        optimizer.step()
