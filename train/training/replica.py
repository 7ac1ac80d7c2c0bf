"""The whole model on each rank, and the optimizer's state: all of it, or this rank's slice (ZeRO-1).

    replica = Replica(document, ranks, device, shares_optimizer=True)
    nats.backward(); replica.add_gradient()         # for each micro-batch of this rank
    norm = replica.gradient_norm()                  # of the sum over all ranks
    replica.learn(step, norm)                       # clip, update, average

After the halving a rank has its slice of the summed gradients. Either the slices of the gradients are spread, and
every rank updates all weights; or each rank updates its slice of them, and the slices of the weights are spread: the
same bytes are sent, and the same bits come out, because AdamW looks at one weight at a time.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..ranks.flat import FlatLayout
from ..ranks.ranks import Ranks
from ..ranks.reduction import GradientTree, norm_in_pieces, spread
from ..run.checkpoint import Tensors
from ..run.run import RunDocument
from ..transformer.lora import with_lora
from ..transformer.model import Transformer
from .optimizer import clip, new_optimizers, take_step


class Replica:
    def __init__(self, document: RunDocument, ranks: Ranks, device: torch.device, shares_optimizer: bool) -> None:
        settings, self._config = document.settings, document.optimizer
        self.model = Transformer(settings.model, settings.seed)
        if settings.lora is not None:
            self.model = with_lora(self.model, settings.lora, settings.seed)
        self.model = self.model.to(device).train()
        self._names = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        self.averaged = copy.deepcopy(self.model).eval().requires_grad_(False) if self._config.averaging else None
        self._ranks, self._reduction = ranks, settings.reduction
        shapes = [parameter.shape for parameter in self._learners(self.model)]
        self._layout = FlatLayout.of(shapes, pieces=settings.micro_batches)
        self._tree = GradientTree(self._layout, device)
        self._weights = self._layout.new(device)
        for parameter, view in zip(self._learners(self.model), self._layout.views(self._weights), strict=True):
            parameter.data = view.copy_(parameter.detach())
        self._shared = ranks.slice_of(self._layout.size) if shares_optimizer and ranks.world_size > 1 else None
        self._learned = [nn.Parameter(weights) for weights in self._cut(self._weights)]
        self.optimizers = new_optimizers(self.model, self._config, self._learned)

    def _learners(self, model: Transformer) -> list[nn.Parameter]:
        """The parameters that are learned: all of them, without LoRA."""
        return [model.get_parameter(name) for name in self._names]

    def _cut(self, buffer: Tensor) -> list[Tensor]:
        """What this rank updates of each parameter."""
        return self._layout.views(buffer) if self._shared is None else self._layout.parts(buffer, self._shared)

    def add_gradient(self) -> None:
        """Take the gradient of the next micro-batch from the model."""
        gradients = [parameter.grad for parameter in self._learners(self.model)]
        self._tree.add([gradient for gradient in gradients if gradient is not None])
        self.model.zero_grad(set_to_none=True)

    def gradient_norm(self, share: float = 1.0) -> float:
        """Sum the gradients over all ranks, times `share`, and return their norm."""
        summed = self._tree.total(self._ranks, self._reduction)
        if share != 1:
            summed.data[summed.complete] *= share
        norm = norm_in_pieces(summed, self._layout.pieces, self._ranks)
        if self._shared is None and self._reduction == "exact":
            spread(summed.data, self._ranks)
        for learned, gradient in zip(self._learned, self._cut(summed.data), strict=True):
            learned.grad = gradient
        return norm.item()

    def learn(self, step: int, norm: float) -> None:
        """Update the weights, and their average, with the gradients of that norm."""
        clip(self._learned, self._config, norm)
        take_step(self.optimizers, self._config, step)
        if self._shared is not None:
            spread(self._weights, self._ranks)
        if self.averaged is not None:
            averages: list[Tensor] = list(self._learners(self.averaged))
            torch._foreach_lerp_(averages, self._layout.views(self._weights), 1 - self._config.averaging)

    def weights(self, model: Transformer) -> Tensors:
        """The learned tensors of `model` or `averaged`, by name."""
        tensors = model.state_dict()
        return {name: tensors[name] for name in self._names}

    def load_weights(self, model: Transformer, tensors: Tensors) -> None:
        """Of all parameters, or, with LoRA, of those that are learned or those that are not."""
        model.load_state_dict(tensors, strict=len(self._names) == len(model.state_dict()))

    def optimizer_states(self) -> list[dict[str, Any]]:
        """What the optimizers of one rank alone would have. All ranks take part; only the first one's is whole."""
        if self._shared is None:
            return [optimizer.state_dict() for optimizer in self.optimizers]
        (adamw,) = self.optimizers
        packed = adamw.state_dict()
        state = {number: dict(fields) for number, fields in packed["state"].items()}
        of_any: dict[str, Tensor] = next(iter(state.values()), {})
        for name in [name for name, field in of_any.items() if field.ndim]:
            buffer = self._layout.new(torch.device("cpu"))
            for part, learned in zip(self._layout.parts(buffer, self._shared), self._learned, strict=True):
                part.copy_(adamw.state[learned][name])
            self._ranks.collect_slices(buffer)
            views = self._layout.views(buffer)
            for number, index in enumerate(self._order):
                state[number][name] = views[index]
        return [{**packed, "state": state}]

    def load_optimizers(self, states: list[dict[str, Any]]) -> None:
        for optimizer, packed in zip(self.optimizers, states, strict=True):
            state = packed["state"]
            if self._shared is not None:
                ranges = self._layout.ranges(self._shared)
                within = {number: ranges[index] for number, index in enumerate(self._order)}
                state = {number: _part(fields, within[number]) for number, fields in state.items()}
            optimizer.load_state_dict({**packed, "state": state})

    @property
    def _order(self) -> list[int]:
        """The index among all parameters of each one of AdamW, whose groups come one after the other."""
        indices = {id(learned): index for index, learned in enumerate(self._learned)}
        (adamw,) = self.optimizers
        return [indices[id(learned)] for group in adamw.param_groups for learned in group["params"]]


def _part(fields: dict[str, Tensor], within: slice) -> dict[str, Tensor]:
    """Copies, which do not keep the whole tensors in memory; what has no shape of the weight's is the step."""
    return {name: (field.flatten()[within] if field.ndim else field).clone() for name, field in fields.items()}
