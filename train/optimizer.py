"""The optimizer: AdamW with clipped gradients, and a learning rate of linear warm-up and cosine decay to zero.

The learning rate is a pure function of the step, so a run that resumes at step 900 has there what an unbroken one has.

    optimizer = new_optimizer(model, config)
    for step in range(config.num_steps):
        loss.backward()
        norm = take_step(optimizer, config, step)
"""

import math

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn


class OptimizerConfig(BaseModel):
    """The defaults are those of the `demo` preset; docs/log/transformer.md has the trials."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_steps: int = Field(gt=0)
    num_warmup_steps: int = Field(default=100, ge=0)
    peak_learning_rate: float = Field(default=2e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(default=0.04, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def warmup_ends_before_the_run(self) -> "OptimizerConfig":
        if self.num_warmup_steps >= self.num_steps:
            raise ValueError(f"num_warmup_steps {self.num_warmup_steps} must be less than num_steps {self.num_steps}")
        return self


def learning_rate(config: OptimizerConfig, step: int) -> float:
    """Rises in a line to the peak at step num_warmup_steps, then falls on a cosine to 0 at step num_steps."""
    if step < config.num_warmup_steps:
        return config.peak_learning_rate * (step + 1) / (config.num_warmup_steps + 1)
    done = (step - config.num_warmup_steps) / (config.num_steps - config.num_warmup_steps)
    return config.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def new_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices, but not norms, biases and embeddings."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for parameter in model.parameters():
        is_matrix = parameter.ndim >= 2 and id(parameter) not in embeddings
        (decayed if is_matrix else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.peak_learning_rate, betas=config.betas, fused=True)


def take_step(optimizer: torch.optim.Optimizer, config: OptimizerConfig, step: int) -> Tensor:
    """Clip the gradients, set the step's learning rate, update and clear; return the gradient norm before clipping."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, config.max_gradient_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm
