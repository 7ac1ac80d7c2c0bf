"""`kind: taming`: VQGAN checkpoints of taming-transformers and latent-diffusion, and Chameleon's `vqgan.ckpt`.

The nearest entry of the codebook is taken. Gumbel-softmax checkpoints are refused: they have no such codebook.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import missing, read_tensors, weight_files
from .network import HALF, Converted, Tensors, loaded, release
from .search import nearest
from .vqgan import LIBRARY, VQGAN, vqgan_tensors


def convert(path: Path) -> Converted:
    """Raises BadInput when the file is no VQGAN."""
    return converted(path, read_tensors(path, "state_dict"))


def converted(path: Path, tensors: Tensors) -> Converted:
    """The VQGAN of tensors that bear taming's names."""
    try:
        entries = tensors["quantize.embedding.weight"].float()
        network, shape = vqgan_tensors(tensors)
    except KeyError as error:
        raise missing(path, error, "a VQGAN") from None
    return Converted(
        tensors={**network, "entries": entries},
        model={"shape": shape, "codebook": len(entries)},
        codebook=len(entries),
        normalisation=HALF,
        library=release(LIBRARY),
        files=tuple(weight_files(path)),
        name=path.stem,
    )


def build(model: dict[str, Any], tensors: Tensors) -> "TamingVQ":
    return loaded(TamingVQ(model["shape"], model["codebook"]), tensors, "the VQGAN")


class TamingVQ(VQGAN):
    def __init__(self, shape: dict[str, Any], codebook: int) -> None:
        super().__init__(shape)
        self.entries = nn.Parameter(torch.empty(codebook, shape["vq_embed_dim"]))

    def encode(self, pixels: Tensor) -> Tensor:
        latents = self.latents(pixels)
        return self.search(latents.flatten(0, 2)).view(latents.shape[:-1])

    def search(self, latents: Tensor) -> Tensor:
        """(N, D) → int64 (N)."""
        return nearest(latents, self.entries)

    def decode(self, codes: Tensor) -> Tensor:
        return self.pixels(F.embedding(codes, self.entries))
