"""What a kind of pretrained tokenizer has to give: its network from files, and the facts that encoding needs.

    converted = diffusers_vq.convert(Path("models/movq"))         # tensors, shape, codebook, range of the pixels
    network = diffusers_vq.build(converted.model, converted.tensors)
    codes = network.encode(pixels)                               # float (B, 3, H, W) → int64 (B, *shape)
    pixels = network.decode(codes)

`convert` is called once, by `tuwen tokenize`; `build` by whoever encodes or decodes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ...manifests.errors import BadInput

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # mean and std of pixels in −1 … 1
UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # in 0 … 1

Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]  # mean, std of RGB in 0 … 1
Tensors = dict[str, Tensor]
_M = TypeVar("_M", bound=torch.nn.Module)


class Network(Protocol):
    """A `torch.nn.Module`, or anything with these two where it runs on the CPU as it is."""

    def encode(self, pixels: Tensor) -> Tensor:
        """Normalised float (B, 3, H, W) → int64 (B, h, w) or (B, n), with a last axis of k where codes are k."""
        ...

    def decode(self, codes: Tensor) -> Tensor:
        """Those codes → normalised float (B, 3, H, W)."""
        ...


@dataclass(frozen=True)
class Converted:
    tensors: Tensors  # as `build` takes them
    model: dict[str, Any]  # JSON: the shape of the network
    codebook: int
    normalisation: Normalisation
    library: str  # and its release: "diffusers 0.42"; "torch 2.13" where the network stands here
    files: tuple[Path, ...] = ()  # that were read
    name: str = ""  # of the model, where its files say one
    codebooks: int = 1  # codes at a position
    scales: tuple[tuple[int, ...], ...] = ()  # of multi-scale codes, for each size: sides of the grids, coarse to fine
    decodes: bool = True


def release(module: Any) -> str:
    """The name of a library and its release, without the patch: `torch 2.13`."""
    return f"{module.__name__} {'.'.join(module.__version__.split('.')[:2])}"


def loaded(module: _M, tensors: Tensors, where: str) -> _M:
    """The module with exactly these tensors, for inference. Raises BadInput when one is missing or too many."""
    try:
        missing, unexpected = module.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise BadInput(f"{where}: {' '.join(str(error).split())[:300]}", cure="is it of another kind?") from None
    if missing or unexpected:
        lacks = f"lacks {', '.join(missing[:3])}" if missing else f"has {', '.join(unexpected[:3])} too many"
        count = len(missing) or len(unexpected)
        raise BadInput(f"{where}: {lacks} ({count} in all)", cure="is it whole, and of this kind?")
    return module.eval().requires_grad_(False)
