"""The optimizers: AdamW, or Muon for matrices and AdamW for the rest; clipped gradients.

optimizers = new_optimizers(model, config)
for step in range(config.num_steps):
    loss.backward()
    clip(model.parameters(), config, norm)
    take_step(optimizers, config, step)
    model.zero_grad()
"""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from ..run.schedule import OptimizerConfig, learning_rate


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
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    for (name, parameter), part in zip(named, learned or [parameter for _, parameter in named], strict=True):
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
