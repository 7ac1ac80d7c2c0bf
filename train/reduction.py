"""The sum of the gradients of all micro-batches of a step, with the same bits for any number of ranks.

    tree = GradientTree(parameters, num_metrics=2, micro_batches=8, device=device)
    tree.add([p.grad for p in parameters], metrics)        # once for each micro-batch of this rank, in order
    summed = tree.total(ranks)                             # summed.gradients, summed.metrics: of all ranks

One binary tree, neighbours first: ((0+1)+(2+3))+((4+5)+(6+7)). A rank has a contiguous range of micro-batches, so what
it adds up alone is a subtree; ranks at the distances 1, 2, 4, … then add their subtrees in pairs (recursive halving),
each of the two one half of them, and at the end every rank collects all parts (doubling). Floating-point addition
commutes, but is not associative: only the shape of the tree decides the bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor

from .ranks import Ranks

Reduction = Literal["exact", "fast"]
_ALIGNED = 16  # floats in 64 bytes: each gradient begins where a vector instruction likes it to


@dataclass
class Summed:
    """Gradients and metrics of some micro-batches, in one contiguous buffer of 32-bit floats."""

    data: Tensor
    gradients: list[Tensor]  # views of `data`, in the shapes of the parameters
    metrics: Tensor  # the end of `data`
    level: int = 0  # 2^level micro-batches are in it


class GradientTree:
    """Holds log2(micro-batches of this rank) + 1 buffers at most, as a binary counter holds digits."""

    def __init__(
        self, shapes: Sequence[torch.Size], num_metrics: int, micro_batches: int, device: torch.device
    ) -> None:
        self._shapes, self._num_metrics, self._device = list(shapes), num_metrics, device
        unit = _ALIGNED * micro_batches  # as many ranks, at most, halve the buffer
        self._size = -(-(sum(_padded(shape) for shape in shapes) + num_metrics) // unit) * unit
        self._sums: list[Summed] = []  # of falling levels
        self._unused: list[Summed] = []
        self._scratch = torch.empty(0)

    def add(self, gradients: Sequence[Tensor], metrics: Tensor) -> None:
        """Add the next micro-batch of this rank."""
        if self._sums and self._sums[-1].level == 0:
            last = self._sums[-1]
            torch._foreach_add_(last.gradients, list(gradients))
            last.metrics += metrics
            last.level = 1
        else:
            last = self._unused.pop() if self._unused else self._new()
            torch._foreach_copy_(last.gradients, list(gradients))
            last.metrics.copy_(metrics)
            last.level = 0
            self._sums.append(last)
        while len(self._sums) > 1 and self._sums[-1].level == self._sums[-2].level:
            right = self._sums.pop()
            self._sums[-1].data += right.data
            self._sums[-1].level += 1
            self._unused.append(right)

    def total(self, ranks: Ranks, reduction: Reduction = "exact") -> Summed:
        """Return the sum over all ranks, which holds until the next `add`."""
        (summed,) = self._sums  # one: the micro-batches of a rank are a power of two
        self._unused.append(self._sums.pop())
        if reduction == "fast":
            ranks.add_up(summed.data)
        elif ranks.world_size > 1:
            if not len(self._scratch):
                self._scratch = torch.empty(self._size // 2, device=self._device)
            sum_in_tree(summed.data, ranks, self._scratch)
        return summed

    def _new(self) -> Summed:
        data = torch.zeros(self._size, device=self._device)
        gradients, start = [], 0
        for shape in self._shapes:
            gradients.append(data[start : start + prod(shape)].view(shape))
            start += _padded(shape)
        return Summed(data, gradients, data[start : start + self._num_metrics])


def sum_in_tree(data: Tensor, ranks: Ranks, scratch: Tensor) -> None:
    """Replace `data` by its sum over all ranks; `scratch` has room for half of it."""
    span, parts = data, []
    for distance in ranks.distances:
        halves = span.chunk(2)
        is_upper = bool(ranks.rank & distance)
        own, others = halves[is_upper], halves[not is_upper]
        received = scratch[: len(own)]
        ranks.exchange(ranks.rank ^ distance, send=others, receive=received)
        own += received
        parts.append((distance, own, others))
        span = own
    for distance, own, others in reversed(parts):
        ranks.exchange(ranks.rank ^ distance, send=own, receive=others)


def _padded(shape: torch.Size) -> int:
    return -(-prod(shape) // _ALIGNED) * _ALIGNED
