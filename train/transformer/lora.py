"""Low-rank updates of the matrices of a frozen model (LoRA, arXiv 2106.09685).

    model = with_lora(Transformer(config), Lora(rank=8), seed=0)        # W·x becomes W·x + (alpha / rank) · up·(down·x)
    weights = merged(base_weights, adapter_weights, Lora(rank=8))       # those of a plain Transformer again

Only `down` (rank, in) and `up` (out, rank) of the blocks' matrices are learned. `up` begins as zeros, so that the model
begins as its base. They have the names of their matrices: `blocks.0.qkv_proj.lora_down` beside `….weight`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...manifests.recipe.training import Lora
from .model import Block, Transformer

_DOWN, _UP, _WEIGHT = "lora_down", "lora_up", "weight"


class LoraLinear(nn.Linear):
    """A frozen matrix with a learned update of low rank."""

    def __init__(self, frozen: nn.Linear, lora: Lora, generator: torch.Generator) -> None:
        super().__init__(frozen.in_features, frozen.out_features, bias=False, device="meta")
        self.weight = frozen.weight
        self.scale = lora.alpha / lora.rank
        down = torch.empty(lora.rank, frozen.in_features).normal_(std=frozen.in_features**-0.5, generator=generator)
        self.lora_down, self.lora_up = nn.Parameter(down), nn.Parameter(torch.zeros(frozen.out_features, lora.rank))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + F.linear(F.linear(x, self.lora_down), self.lora_up) * self.scale


def with_lora(model: Transformer, lora: Lora, seed: int) -> Transformer:
    """The model itself, frozen but for the updates of its blocks' matrices; `seed` is that of their first numbers."""
    generator = torch.Generator().manual_seed(seed)
    model.requires_grad_(False)
    for block in model.modules():
        if isinstance(block, Block):
            for name, child in list(block.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(block, name, LoraLinear(child, lora, generator))
    return model


def merged(base: dict[str, Tensor], adapters: dict[str, Tensor], lora: Lora) -> dict[str, Tensor]:
    """The weights of the plain model that computes what base and adapters compute, to rounding."""
    weights = dict(base)
    for name, down in adapters.items():
        matrix, _, kind = name.rpartition(".")
        if kind == _DOWN:
            weight = f"{matrix}.{_WEIGHT}"
            weights[weight] = base[weight] + (lora.alpha / lora.rank) * (adapters[f"{matrix}.{_UP}"] @ down)
    return weights
