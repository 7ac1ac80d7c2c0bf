"""Muon for the weights between hidden channels, AdamW for all other parameters, with one schedule.

    optimizers = Optimizers(model, training)
    optimizers.step(learning_rate_factor(step, training))

Muon (Jordan et al. 2024) on the kernels is worth 0.9 dB after 400 steps.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ...manifests.recipe.tokenizing import CompactVQTraining
from .compact_vq import CompactVQ

COOLDOWN = 0.25  # of the steps


def learning_rate_factor(step: int, training: CompactVQTraining) -> float:
    """A line up, then 1, then a line down to 0 over the last quarter of the steps.

    Before that quarter nothing depends on the number of steps, so a training may be made shorter or longer on its way.
    """
    warmup = (step + 1) / max(1, training.warmup_steps)
    cooldown = (training.steps - step) / (training.steps - cooldown_begins(training.steps))
    return min(1.0, warmup, cooldown)


def cooldown_begins(steps: int) -> int:
    """Return the first step whose learning rate falls."""
    return int((1 - COOLDOWN) * steps)


class Optimizers:
    def __init__(self, model: CompactVQ, training: CompactVQTraining) -> None:
        self.kernels = [kernel for part in (model.encoder, model.decoder) for kernel in _hidden_kernels(part)]
        # torch's Muon takes matrices alone: give it (out, in * 9) views that share the kernels' memory.
        self.matrices = [nn.Parameter(kernel.detach().flatten(1)) for kernel in self.kernels]
        kernels = set(self.kernels)
        self.others = [parameter for parameter in model.parameters() if parameter not in kernels]
        self.muon = torch.optim.Muon(self.matrices, lr=training.muon_lr, weight_decay=0.01)
        self.adam = torch.optim.AdamW(self.others, lr=training.adam_lr, betas=(0.9, 0.99), weight_decay=0.01)
        self.learning_rates = [(self.muon, training.muon_lr), (self.adam, training.adam_lr)]

    def step(self, factor: float) -> None:
        """Update all parameters, and clear their gradients; `factor` scales both learning rates."""
        for matrix, kernel in zip(self.matrices, self.kernels, strict=True):
            assert kernel.grad is not None
            matrix.grad = kernel.grad.flatten(1)
            kernel.grad = None
        nn.utils.clip_grad_norm_(self.others, 1.0)
        for optimizer, learning_rate in self.learning_rates:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * factor
            optimizer.step()
            optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])


def _hidden_kernels(part: nn.Module) -> Iterator[Tensor]:
    """The weights of all layers but the first and the last."""
    layers = [module for module in part.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    yield from (module.weight for module in layers[1:-1])
