"""`kind: maskgit-vqgan`: MaskGIT's VQGAN (Chang et al. 2022) as open-muse and TiTok's repository publish it.

A VQGAN without attention, whose shortcut convolution sees the block's result, not its input. Pixels are 0 … 1. The
network is stated here from the original; its shape is read from the tensors. `titok` decodes with it, too.
"""

import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import missing, read_tensors, weight_files
from .network import UNIT, Converted, Tensors, loaded, release
from .search import nearest
from .vqgan import count


def convert(path: Path) -> Converted:
    """Raises BadInput when the file is not MaskGIT's."""
    tensors = {name: value.float() for name, value in read_tensors(path).items()}
    try:
        entries = tensors["quantize.embedding.weight"]
        model = {"shape": decoder_shape(tensors, "decoder."), "codebook": len(entries)}
    except KeyError as error:
        raise missing(path, error, "MaskGIT's VQGAN") from None
    return Converted(
        tensors=tensors,
        model=model,
        codebook=len(entries),
        normalisation=UNIT,
        library=release(torch),
        files=tuple(weight_files(path)),
        name=path.stem,
    )


def decoder_shape(tensors: Tensors, prefix: str) -> dict[str, Any]:
    """The arguments of `Decoder`, and of `Encoder`. Raises KeyError."""
    start = re.escape(prefix)
    levels = count(tensors, rf"{start}up\.(\d+)\.")
    return {
        "widths": [tensors[f"{prefix}up.{level}.block.0.conv2.weight"].shape[0] for level in range(levels)],
        "blocks": count(tensors, rf"{start}mid\.(\d+)\."),
        "dim": tensors[f"{prefix}conv_in.weight"].shape[1],
    }


def build(model: dict[str, Any], tensors: Tensors) -> "MaskGitVQ":
    return loaded(MaskGitVQ(model["shape"], model["codebook"]), tensors, "MaskGIT's VQGAN")


class MaskGitVQ(nn.Module):
    def __init__(self, shape: dict[str, Any], codebook: int) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(**shape), Decoder(**shape)
        self.quantize = nn.ModuleDict({"embedding": nn.Embedding(codebook, shape["dim"])})

    def encode(self, pixels: Tensor) -> Tensor:
        latents = self.encoder(pixels).permute(0, 2, 3, 1)  # (B, h, w, D)
        entries: Any = self.quantize["embedding"].weight
        return nearest(latents.flatten(0, 2), entries, fused=True).view(latents.shape[:-1])

    def decode(self, codes: Tensor) -> Tensor:
        pixels: Tensor = self.decoder(self.quantize["embedding"](codes).permute(0, 3, 1, 2))
        return pixels.clamp(0, 1)


class Encoder(nn.Module):
    def __init__(self, widths: list[int], blocks: int, dim: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.down = nn.ModuleList(
            _Level(before, width, blocks) for before, width in zip(widths[:1] + widths, widths, strict=False)
        )
        self.mid = nn.Sequential(*(_Block(widths[-1], widths[-1]) for _ in range(blocks)))
        self.norm_out = nn.GroupNorm(32, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], dim, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.conv_in(pixels)
        for number, level in enumerate(self.down):
            hidden = level(hidden)
            if number < len(self.down) - 1:
                hidden = F.avg_pool2d(hidden, 2)
        latents: Tensor = self.conv_out(F.silu(self.norm_out(self.mid(hidden))))
        return latents


class Decoder(nn.Module):
    def __init__(self, widths: list[int], blocks: int, dim: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(dim, widths[-1], 3, padding=1)
        self.mid = nn.Sequential(*(_Block(widths[-1], widths[-1]) for _ in range(blocks)))
        self.up = nn.ModuleList(
            _Level(before, width, blocks) for before, width in zip(widths[1:] + widths[-1:], widths, strict=True)
        )
        for level, width in zip(list(self.up)[1:], widths[1:], strict=True):
            level.upsample_conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm_out = nn.GroupNorm(32, widths[0], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        hidden = self.mid(self.conv_in(latents))
        for number in reversed(range(len(self.up))):
            level: Any = self.up[number]
            hidden = level(hidden)
            if number:
                hidden = level.upsample_conv(F.interpolate(hidden, scale_factor=2.0, mode="nearest"))
        pixels: Tensor = self.conv_out(F.silu(self.norm_out(hidden)))
        return pixels


class _Level(nn.Module):
    def __init__(self, width: int, out: int, blocks: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*(_Block(width if number == 0 else out, out) for number in range(blocks)))

    def forward(self, hidden: Tensor) -> Tensor:
        changed: Tensor = self.block(hidden)
        return changed


class _Block(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(32, width, eps=1e-6), nn.GroupNorm(32, out, eps=1e-6)
        self.conv1 = nn.Conv2d(width, out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        if width != out:
            self.nin_shortcut = nn.Conv2d(out, out, 1, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(hidden))))))
        return change + (self.nin_shortcut(change) if hasattr(self, "nin_shortcut") else hidden)
