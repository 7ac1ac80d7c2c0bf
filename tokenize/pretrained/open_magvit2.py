"""`kind: open-magvit2`: Open-MAGVIT2 of SEED-Voken (Luo et al. 2024): lookup-free quantization, 18 bits a code.

The code of a latent is the signs of its channels, the first one the least significant bit. The network is stated here
from the original; its shape is read from the tensors. Averaged weights (`model_ema.`) are taken, as the original does.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import averaged, missing, read_tensors, weight_files
from .network import HALF, Converted, Tensors, loaded, release
from .vqgan import count


def convert(path: Path) -> Converted:
    """Raises BadInput when the file is not Open-MAGVIT2's."""
    tensors = averaged(read_tensors(path, "state_dict"))
    tensors = {name: value.float() for name, value in tensors.items() if name.startswith(("encoder.", "decoder."))}
    levels = count(tensors, r"encoder\.down\.(\d+)\.")
    try:
        _ = tensors["decoder.adaptive.0.gamma.weight"]
        bits = tensors["encoder.conv_out.weight"].shape[0]
        widths = [tensors[f"encoder.down.{level}.block.0.conv2.weight"].shape[0] for level in range(levels)]
        first = tensors["encoder.conv_in.weight"].shape[0]
    except KeyError as error:
        raise missing(path, error, "Open-MAGVIT2's") from None
    blocks = count(tensors, r"encoder\.down\.0\.block\.(\d+)\.")
    return Converted(
        tensors=tensors,
        model={"first": first, "widths": widths, "blocks": blocks, "bits": bits},
        codebook=2**bits,
        normalisation=HALF,
        library=release(torch),
        files=tuple(weight_files(path)),
        name=path.stem,
    )


def build(model: dict[str, Any], tensors: Tensors) -> "OpenMagvit2":
    return loaded(OpenMagvit2(**model), tensors, "Open-MAGVIT2")


class OpenMagvit2(nn.Module):
    _values: Tensor

    def __init__(self, first: int, widths: list[int], blocks: int, bits: int) -> None:
        super().__init__()
        self.encoder, self.decoder = _Encoder(first, widths, blocks, bits), _Decoder(first, widths, blocks, bits)
        self.register_buffer("_values", 2 ** torch.arange(bits), persistent=False)  # of the bits

    def encode(self, pixels: Tensor) -> Tensor:
        latents = self.encoder(pixels).permute(0, 2, 3, 1)  # (B, h, w, bits)
        codes: Tensor = ((latents > 0) * self._values).sum(-1)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        bits = (codes[..., None] & self._values) != 0
        pixels: Tensor = self.decoder((bits * 2.0 - 1.0).permute(0, 3, 1, 2))
        return pixels


class _Encoder(nn.Module):
    def __init__(self, first: int, widths: list[int], blocks: int, bits: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, first, 3, padding=1, bias=False)
        self.down = nn.ModuleList()
        width = first
        for level, out in enumerate(widths):
            down = nn.Module()
            down.block = _blocks(width, out, blocks)
            if level < len(widths) - 1:
                down.downsample = nn.Conv2d(out, out, 3, stride=2, padding=1)
            self.down.append(down)
            width = out
        self.mid_block = _blocks(width, width, blocks)
        self.norm_out = nn.GroupNorm(32, width, eps=1e-6)
        self.conv_out = nn.Conv2d(width, bits, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.conv_in(pixels)
        for level, down in enumerate(self.down):
            hidden = down.block(hidden)  # type: ignore[operator]
            if level < len(self.down) - 1:
                hidden = down.downsample(hidden)  # type: ignore[operator]
        latents: Tensor = self.conv_out(F.silu(self.norm_out(self.mid_block(hidden))))
        return latents


class _Decoder(nn.Module):
    def __init__(self, first: int, widths: list[int], blocks: int, bits: int) -> None:
        super().__init__()
        width = widths[-1]
        self.conv_in = nn.Conv2d(bits, width, 3, padding=1)
        self.mid_block = _blocks(width, width, blocks)
        self.up, self.adaptive = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(widths))):
            self.adaptive.insert(0, _AdaptiveNorm(bits, width))
            up = nn.Module()
            up.block = _blocks(width, widths[level], blocks)
            width = widths[level]
            if level:
                up.upsample = _Upsampler(width)
            self.up.insert(0, up)
        self.norm_out = nn.GroupNorm(32, width, eps=1e-6)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        hidden = self.mid_block(self.conv_in(latents))
        for level in reversed(range(len(self.up))):
            up = self.up[level]
            hidden = up.block(self.adaptive[level](hidden, latents))  # type: ignore[operator]
            if level:
                hidden = up.upsample(hidden)  # type: ignore[operator]
        pixels: Tensor = self.conv_out(F.silu(self.norm_out(hidden)))
        return pixels


def _blocks(width: int, out: int, number: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width if first else out, out) for first in [True] + [False] * (number - 1)))


class _Block(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(32, width, eps=1e-6), nn.GroupNorm(32, out, eps=1e-6)
        self.conv1 = nn.Conv2d(width, out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        if width != out:
            self.nin_shortcut = nn.Conv2d(width, out, 1, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(hidden))))))
        return change + (self.nin_shortcut(hidden) if hasattr(self, "nin_shortcut") else hidden)


class _AdaptiveNorm(nn.Module):
    """GroupNorm whose scale and shift come from deviation and mean of the latents over the whole picture."""

    def __init__(self, bits: int, width: int) -> None:
        super().__init__()
        self.gn = nn.GroupNorm(32, width, eps=1e-6, affine=False)
        self.gamma, self.beta = nn.Linear(bits, width), nn.Linear(bits, width)

    def forward(self, hidden: Tensor, latents: Tensor) -> Tensor:
        flat = latents.flatten(2)  # (B, bits, h·w)
        scale: Tensor = self.gamma((flat.var(-1) + 1e-6).sqrt())[:, :, None, None]
        shift: Tensor = self.beta(flat.mean(-1))[:, :, None, None]
        normed: Tensor = self.gn(hidden)
        return scale * normed + shift


class _Upsampler(nn.Module):
    """Four times the channels become twice the side. The block index is the outer part of the channel's number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, 4 * width, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        many: Tensor = self.conv1(hidden)
        batch, channels, height, width = many.shape
        cells = many.view(batch, 2, 2, channels // 4, height, width).permute(0, 3, 4, 1, 5, 2)
        return cells.reshape(batch, channels // 4, 2 * height, 2 * width)
