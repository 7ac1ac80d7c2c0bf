"""`kind: taming`: VQGAN checkpoints of taming-transformers and latent-diffusion, and Chameleon's `vqgan.ckpt`.

The nearest entry of the codebook is taken. Checkpoints with a Gumbel softmax (f8) draw their codes at random in the
original; here the likeliest code is taken.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import exact
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
        quantizer = _quantizer(tensors)
        network, shape = vqgan_tensors(tensors)
    except KeyError as error:
        raise missing(path, error, "a VQGAN") from None
    codebook = len(quantizer["entries"])
    return Converted(
        tensors={**network, **quantizer},
        model={"shape": shape, "codebook": codebook, "gumbel": "logits" in quantizer},
        codebook=codebook,
        normalisation=HALF,
        library=release(LIBRARY),
        files=tuple(weight_files(path)),
        name=path.stem,
    )


def _quantizer(tensors: Tensors) -> Tensors:
    """The entries of the codebook and, with a Gumbel softmax, what the logits are made of. Raises KeyError."""
    if "quantize.proj.weight" not in tensors:
        return {"entries": tensors["quantize.embedding.weight"].float()}
    return {
        "entries": tensors["quantize.embed.weight"].float(),
        "logits": tensors["quantize.proj.weight"][:, :, 0, 0].float(),
        "bias": tensors["quantize.proj.bias"].float(),
    }


def build(model: dict[str, Any], tensors: Tensors) -> "TamingVQ":
    network = GumbelVQ if model["gumbel"] else TamingVQ
    return loaded(network(model["shape"], model["codebook"]), tensors, "the VQGAN")


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


class GumbelVQ(TamingVQ):
    def __init__(self, shape: dict[str, Any], codebook: int) -> None:
        super().__init__(shape, codebook)
        self.logits, self.bias = nn.Parameter(torch.empty_like(self.entries)), nn.Parameter(torch.empty(codebook))

    def search(self, latents: Tensor) -> Tensor:
        with exact(latents.device):
            return F.linear(latents, self.logits, self.bias).argmax(1)
