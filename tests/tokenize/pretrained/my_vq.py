"""A tokenizer that a user writes: each patch of 16 px becomes the code of its mean grey."""

from typing import Any

from torch import Tensor


class GreyPatches:
    codebook = 256
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

    def encode(self, pixels: Tensor) -> Tensor:
        grey: Any = pixels.mean(1).unfold(1, 16, 16).unfold(2, 16, 16).mean((-1, -2))
        return (grey * 255).round().long()

    def decode(self, codes: Tensor) -> Tensor:
        return (codes / 255.0).repeat_interleave(16, 1).repeat_interleave(16, 2)[:, None].repeat(1, 3, 1, 1)
