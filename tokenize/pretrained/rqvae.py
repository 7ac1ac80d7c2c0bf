"""`kind: rqvae`: RQ-VAE (Lee et al. 2022, kakaobrain): a VQGAN whose residual is quantized several times.

Codes are (B, h, w, k): the first codebook takes the nearest entry to the latent, each further one that to what is left.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import missing, read_tensors, weight_files
from .network import HALF, Converted, Tensors, loaded, release
from .search import nearest
from .vqgan import LIBRARY, VQGAN, count, vqgan_tensors


def convert(path: Path) -> Converted:
    """Raises BadInput when the file is not kakaobrain's."""
    tensors = read_tensors(path, "state_dict")
    codebooks = count(tensors, r"quantizer\.codebooks\.(\d+)\.weight")
    try:
        # The last row of each is its padding.
        entries = [tensors[f"quantizer.codebooks.{number}.weight"][:-1].float() for number in range(max(codebooks, 1))]
        network, shape = vqgan_tensors(tensors)
    except KeyError as error:
        raise missing(path, error, "an RQ-VAE") from None
    is_shared = all(torch.equal(each, entries[0]) for each in entries)  # the published ones are
    held = torch.stack(entries[:1] if is_shared else entries)  # (1 or k, K, D)
    return Converted(
        tensors={**network, "entries": held},
        model={"shape": shape, "entries": list(held.shape), "codebooks": codebooks},
        codebook=held.shape[1],
        codebooks=codebooks,
        normalisation=HALF,
        library=release(LIBRARY),
        files=tuple(weight_files(path)),
        name=path.stem,
    )


def build(model: dict[str, Any], tensors: Tensors) -> "RQVAE":
    return loaded(RQVAE(model["shape"], model["entries"], model["codebooks"]), tensors, "the RQ-VAE")


class RQVAE(VQGAN):
    def __init__(self, shape: dict[str, Any], entries: list[int], codebooks: int) -> None:
        super().__init__(shape)
        self.entries = nn.Parameter(torch.empty(entries))
        self._codebooks = codebooks

    def encode(self, pixels: Tensor) -> Tensor:
        latents = self.latents(pixels)
        left, codes = latents.flatten(0, 2), []  # (N, D)
        for entries in self._each():
            codes.append(nearest(left, entries, fused=True))
            left = left - F.embedding(codes[-1], entries)
        return torch.stack(codes, -1).view(*latents.shape[:-1], self._codebooks)

    def decode(self, codes: Tensor) -> Tensor:
        parts = [F.embedding(codes[..., number], entries) for number, entries in enumerate(self._each())]
        return self.pixels(torch.stack(parts, -2).sum(-2))

    def _each(self) -> list[Tensor]:
        return [self.entries[number % len(self.entries)] for number in range(self._codebooks)]
