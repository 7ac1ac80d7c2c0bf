"""Tensors of many shapes side by side in one buffer of 32-bit floats, which ranks share in equal slices.

    layout = FlatLayout.of([p.shape for p in parameters], pieces=8)     # of which each rank has 1, 2, 4, …
    buffer = layout.new(device)
    layout.views(buffer)                                # in the shapes of the parameters
    layout.parts(buffer, ranks.slice_of(layout.size))   # what a rank's slice has of each of them, flat; often nothing

Every tensor and every piece begins at a multiple of 64 bytes, as a tensor of its own does. A vector instruction never
reaches over such a border, so an elementwise kernel gives a part the bits that it gives the whole tensor there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Self

import torch
from torch import Tensor

_ALIGNED = 16  # floats in 64 bytes


@dataclass(frozen=True)
class FlatLayout:
    shapes: tuple[torch.Size, ...]
    starts: tuple[int, ...]  # in floats
    size: int  # in floats, with the padding
    pieces: int  # equal ones, a power of two

    @classmethod
    def of(cls, shapes: Sequence[torch.Size], pieces: int) -> Self:
        ends = list(accumulate((_up(prod(shape), _ALIGNED) for shape in shapes), initial=0))
        return cls(tuple(shapes), tuple(ends[:-1]), _up(ends[-1], _ALIGNED * pieces), pieces)

    def new(self, device: torch.device) -> Tensor:
        """Zeros: the padding stays 0 in sums, and counts nothing in a norm."""
        return torch.zeros(self.size, device=device)

    def views(self, buffer: Tensor) -> list[Tensor]:
        placed = zip(self.starts, self.shapes, strict=True)
        return [buffer[start : start + prod(shape)].view(shape) for start, shape in placed]

    def ranges(self, own: slice) -> list[slice]:
        """Which floats of each tensor, counted from its first one, lie in a slice of the buffer."""
        counts = [prod(shape) for shape in self.shapes]
        return [
            slice(min(max(own.start - start, 0), count), min(max(own.stop - start, 0), count))
            for start, count in zip(self.starts, counts, strict=True)
        ]

    def parts(self, buffer: Tensor, own: slice) -> list[Tensor]:
        return [view.view(-1)[within] for view, within in zip(self.views(buffer), self.ranges(own), strict=True)]


def _up(count: int, unit: int) -> int:
    return -(-count // unit) * unit
