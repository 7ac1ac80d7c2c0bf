"""Image tokenizers of a few lines, as users write them for `kind: python`, and some that misbehave."""

import os
import signal
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tuwen.tokenize.pretrained.network import UNIT

MODULE = "tuwen.tests.tokenize.toy_tokenizers"


class MeanColours:
    """A code for each cell of 8 × 8 px: its mean colour in 8 × 8 × 4 levels."""

    codebook = 256
    mean, std = UNIT

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

    def encode(self, pixels: Tensor) -> Tensor:
        cells = F.avg_pool2d(pixels, 8).clamp(0, 1)
        red, green, blue = ((cells[:, i] * (n - 1)).round().long() for i, n in enumerate((8, 8, 4)))
        return (red * 8 + green) * 4 + blue

    def decode(self, codes: Tensor) -> Tensor:
        colours = torch.stack([codes // 32 / 7, codes // 4 % 8 / 7, codes % 4 / 3], dim=1)
        return F.interpolate(colours.float(), scale_factor=8, mode="nearest")


class MeanGrey:
    """An encoder alone, as some libraries have it: a code for each cell of 8 × 8 px, its mean grey."""

    codebook = 256
    mean, std = UNIT

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        pass

    def encode(self, pixels: Tensor) -> Tensor:
        return (F.avg_pool2d(pixels.mean(1, keepdim=True), 8)[:, 0] * 255).round().long()


class MeanColourRow(MeanColours):
    """1-D: a row of 32 codes, one for each stripe of 8 × 16 px of a picture of 64."""

    def encode(self, pixels: Tensor) -> Tensor:
        return super().encode(pixels)[:, :, ::2].flatten(1)

    def decode(self, codes: Tensor) -> Tensor:
        return super().decode(codes.view(-1, 8, 4).repeat_interleave(2, 2))


class MeanColourPairs(MeanColours):
    """Two codebooks of 16 at each cell: the upper and the lower half of the bits of its mean colour."""

    codebook, codebooks = 16, 2

    def encode(self, pixels: Tensor) -> Tensor:
        codes = super().encode(pixels)
        return torch.stack([codes // 16, codes % 16], dim=-1)

    def decode(self, codes: Tensor) -> Tensor:
        return super().decode(codes[..., 0] * 16 + codes[..., 1])


class Counting(MeanColours):
    """Writes a letter for each call of `encode` into the file that its tensors name, and dies at the call that a file
    beside it states; once, as it takes that file away first."""

    def encode(self, pixels: Tensor) -> Tensor:
        ledger = Path(bytes(self.tensors["ledger"].tolist()).decode())
        with ledger.open("a") as file:
            file.write(".")
        deadly = ledger.with_suffix(".deadly")
        if deadly.is_file() and ledger.stat().st_size >= int(deadly.read_text()):
            deadly.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(pixels)


class NotANumber(MeanColours):
    """As a network whose latents are NaN: the nearest code of none is the first."""

    def encode(self, pixels: Tensor) -> Tensor:
        return torch.zeros_like(super().encode(pixels))


class Grey(MeanColours):
    def decode(self, codes: Tensor) -> Tensor:
        return torch.full_like(super().decode(codes), 0.5)


class OfItsBatch(MeanColours):
    """A network with batch statistics: codes depend on the neighbours."""

    def encode(self, pixels: Tensor) -> Tensor:
        return super().encode(pixels - pixels.mean(dim=0) / 2)
