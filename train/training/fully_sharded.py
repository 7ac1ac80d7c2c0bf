"""A model of which each rank holds a part: weights, gradients and the optimizer's state (PyTorch's FSDP2).

For what does not fit on one device. A block's weights are collected when it computes, and its gradients are summed
over the ranks, in an order that the library chooses, as soon as it has them. The rows and their order are those of
any other run; the bits are equal for equal numbers of ranks alone. It has the methods of `Replica`.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from ..ranks.ranks import Ranks
from ..run.checkpoint import Tensors
from ..run.run import RunDocument
from ..transformer.model import Transformer
from .optimizer import clip, new_optimizers, take_step


class FullySharded:
    def __init__(self, document: RunDocument, ranks: Ranks, device: torch.device) -> None:
        self._config, self._ranks = document.optimizer, ranks
        self._mesh = init_device_mesh(device.type, (ranks.world_size,))
        self.model = self._sharded(document).train()
        self.averaged = self._sharded(document).eval().requires_grad_(False) if self._config.averaging else None
        self.optimizers = new_optimizers(self.model, self._config)

    def _sharded(self, document: RunDocument) -> Transformer:
        """Made on the CPU, and moved to the device part by part."""
        model = Transformer(document.settings.model, document.settings.seed)
        for module in (*model.blocks, model):
            sharded = fully_shard(module, mesh=self._mesh, reshard_after_forward=True)
            sharded.set_gradient_divide_factor(1.0)  # a sum, and not a mean: losses are shares of the whole batch's
            sharded.set_force_sum_reduction_for_comms(True)  # gloo has nothing else
        return model

    def add_gradient(self) -> None:
        """Nothing is left to do: the backward pass has added it to `grad` of this rank's parts."""

    @torch.no_grad()
    def gradient_norm(self, share: float = 1.0) -> float:
        """Return the norm of the gradients, times `share`."""
        gradients = [_local(parameter.grad) for parameter in self.model.parameters() if parameter.grad is not None]
        torch._foreach_mul_(gradients, share)
        squares = nn.utils.get_total_norm(gradients).square()
        self._ranks.add_up(squares)
        return squares.sqrt().item()

    @torch.no_grad()
    def learn(self, step: int, norm: float) -> None:
        """Update the weights, and their average, with the gradients of that norm."""
        clip(self.model.parameters(), self._config, norm)
        take_step(self.optimizers, self._config, step)
        self.model.zero_grad(set_to_none=True)
        if self.averaged is not None:
            averages, weights = ([_local(p) for p in model.parameters()] for model in (self.averaged, self.model))
            torch._foreach_lerp_(averages, weights, 1 - self._config.averaging)

    def weights(self, model: Transformer) -> Tensors:
        """The whole tensors of `model` or `averaged`, by name, on the first rank. All ranks take part."""
        return self._whole(model.state_dict())

    @torch.no_grad()
    def load_weights(self, model: Transformer, tensors: Tensors) -> None:
        for name, part in model.state_dict().items():
            part.copy_(self._part(tensors[name]))

    def optimizer_states(self) -> list[dict[str, Any]]:
        """What the optimizers of one rank alone would have, on the first rank. All ranks take part."""
        packed = [optimizer.state_dict() for optimizer in self.optimizers]
        return [
            {**each, "state": {number: self._whole(fields) for number, fields in each["state"].items()}}
            for each in packed
        ]

    def load_optimizers(self, states: list[dict[str, Any]]) -> None:
        for optimizer, packed in zip(self.optimizers, states, strict=True):
            state = {
                number: {name: self._part(field) if field.ndim else field for name, field in fields.items()}
                for number, fields in packed["state"].items()
            }
            optimizer.load_state_dict({**packed, "state": state})

    def _whole(self, tensors: Tensors) -> Tensors:
        """One after the other, so that a device never holds more than one of them whole."""
        whole = {}
        for name, tensor in tensors.items():
            full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self._ranks.is_first:
                whole[name] = full.cpu()
        return whole

    def _part(self, tensor: Tensor) -> DTensor:
        """Its rows that are this rank's, as FSDP cuts them. Every rank has the whole tensor, so nothing is sent."""
        whole = tensor.to(self._mesh.device_type)
        return distribute_tensor(whole, self._mesh, [Shard(0)], src_data_rank=None)


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
