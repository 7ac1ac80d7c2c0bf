"""What a kind of pretrained tokenizer has to give: its network from files, and the facts that encoding needs.

    converted = diffusers_vq.convert(Path("models/movq"))         # tensors, shape, codebook, range of the pixels
    network = diffusers_vq.build(converted.model, converted.tensors)
    codes = network.encode(pixels)                               # float (B, 3, H, W) → int64 (B, h, w)
    pixels = network.decode(codes)

`convert` is called once, by `tuwen tokenize`; `build` by whoever encodes or decodes.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # mean and std of pixels in −1 … 1
UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # in 0 … 1

Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]  # mean, std of RGB in 0 … 1


class Network(Protocol):
    def encode(self, pixels: Tensor) -> Tensor:
        """Normalised float (B, 3, H, W) → int64 (B, h, w)."""
        ...

    def decode(self, codes: Tensor) -> Tensor:
        """int64 (B, h, w) → normalised float (B, 3, H, W)."""
        ...


@dataclass(frozen=True)
class Converted:
    tensors: dict[str, Tensor]  # as `build` takes them
    model: dict[str, Any]  # JSON: the shape of the network
    codebook: int
    normalisation: Normalisation
    library: str  # and its release: "diffusers 0.42"; "torch 2.13" where the network stands here
    name: str = ""  # of the model, where its files say one
