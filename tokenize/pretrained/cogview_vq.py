"""`kind: cogview`: CogView's VQ-VAE (Ding et al. 2021): three strided convolutions, 8,192 codes, 8 px a code.

The network is stated here from the paper and the state dict (`vqvae_hard_biggerset_011.pt`); widths are read from the
tensors. Distances are Euclidean, as in the original.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import exact
from .checkpoint import missing, read_tensors, weight_files
from .network import Converted, Tensors, loaded, release

NORMALISATION = ((0.79093, 0.76271, 0.75340), (0.30379, 0.32279, 0.32800))


def convert(path: Path) -> Converted:
    """Raises BadInput when the file is not CogView's."""
    tensors = {name.removeprefix("module."): value.float() for name, value in read_tensors(path, "module").items()}
    tensors = {name: value for name, value in tensors.items() if not name.endswith(("cluster_size", "embed_avg"))}
    try:
        dim, codebook = tensors["quantize_t.embed"].shape
        widths = [tensors[f"enc_b.blocks.{at}.weight"].shape[0] for at in (0, 2, 4)]
    except KeyError as error:
        raise missing(path, error, "CogView's VQ-VAE") from None
    return Converted(
        tensors=tensors,
        model={"widths": widths, "dim": dim, "codebook": codebook},
        codebook=codebook,
        normalisation=NORMALISATION,
        library=release(torch),
        files=tuple(weight_files(path)),
        name="cogview-vqvae",
    )


def build(model: dict[str, Any], tensors: Tensors) -> "CogViewVQ":
    return loaded(CogViewVQ(model["widths"], model["dim"], model["codebook"]), tensors, "CogView's VQ-VAE")


class CogViewVQ(nn.Module):
    def __init__(self, widths: list[int], dim: int, codebook: int) -> None:
        super().__init__()
        first, second, width = widths
        self.enc_b = _Blocks(
            _halved(3, first), nn.ReLU(),  # (B, first, H/2, W/2)
            _halved(first, second), nn.ReLU(),
            _halved(second, width), nn.ReLU(),  # (B, width, H/8, W/8)
            nn.Conv2d(width, dim, 1),
        )  # fmt: skip
        self.quantize_t = _Codebook(dim, codebook)
        self.dec = _Blocks(
            _doubled(dim, width), nn.ReLU(),
            _doubled(width, width), nn.ReLU(),
            _doubled(width, width), nn.ReLU(),
            nn.Conv2d(width, 3, 1),
        )  # fmt: skip

    def encode(self, pixels: Tensor) -> Tensor:
        latents = self.enc_b.blocks(pixels).permute(0, 2, 3, 1)  # (B, h, w, D)
        with exact(pixels.device):
            flat, embed = latents.float().flatten(0, 2), self.quantize_t.embed  # (N, D), (D, K)
            distances = flat.pow(2).sum(1, keepdim=True) - 2 * flat @ embed + embed.pow(2).sum(0, keepdim=True)
            codes: Tensor = distances.argmin(1)
        return codes.view(latents.shape[:-1])

    def decode(self, codes: Tensor) -> Tensor:
        quantized = F.embedding(codes, self.quantize_t.embed.T).permute(0, 3, 1, 2)
        pixels: Tensor = self.dec.blocks(quantized)
        return pixels


def _halved(channels: int, out: int) -> nn.Module:
    return nn.Conv2d(channels, out, 4, stride=2, padding=1)


def _doubled(channels: int, out: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)


class _Blocks(nn.Module):
    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)


class _Codebook(nn.Module):
    embed: Tensor

    def __init__(self, dim: int, codebook: int) -> None:
        super().__init__()
        self.register_buffer("embed", torch.zeros(dim, codebook))
