"""`kind: var`: the multi-scale VQ-VAE of VAR (Tian et al. 2024): a picture as grids of 1 × 1 to 16 × 16 codes.

The codes are one row, coarse to fine; `scales` names the sides of its grids. Each grid takes the nearest entries to
what is left of the latents at its size; what it stands for is subtracted before the next. At 256 px they are 680.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...manifests.errors import BadInput
from .checkpoint import missing, read_tensors, weight_files
from .network import HALF, Converted, Tensors, loaded, release
from .search import nearest
from .vqgan import LIBRARY, VQGAN, vqgan_tensors

# The published ones, by the side of the finest grid.
_SCALES = {16: (1, 2, 3, 4, 5, 6, 8, 10, 13, 16), 32: (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)}
_SHARE = 0.5  # of the convolution in what an entry adds; the rest is the entry itself


def convert(path: Path) -> Converted:
    """Raises BadInput when the file is not VAR's."""
    tensors = read_tensors(path, "state_dict", "vae")
    try:
        entries = tensors["quantize.embedding.weight"].float()
        mixing = {name.removeprefix("quantize.quant_resi.qresi_ls."): value.float() for name, value in tensors.items()
                  if name.startswith("quantize.quant_resi.qresi_ls.")}  # fmt: skip
        steps = len(tensors["quantize.ema_vocab_hit_SV"])
        network, shape = vqgan_tensors(_with_q_k_v(tensors))
    except KeyError as error:
        raise missing(path, error, "VAR's") from None
    if not mixing or steps != len(_SCALES[16]):
        raise BadInput(f"{path}: has {steps} scales, not those that VAR published", cure="name vae_ch160v4096z32.pth")
    return Converted(
        tensors={**network, "entries": entries, **{f"mixing.{name}": value for name, value in mixing.items()}},
        model={"shape": shape, "codebook": len(entries), "mixing": len(mixing) // 2},
        codebook=len(entries),
        normalisation=HALF,
        library=release(LIBRARY),
        files=tuple(weight_files(path)),
        name=path.stem,
        scales=tuple(_SCALES.values()),
    )


def build(model: dict[str, Any], tensors: Tensors) -> "VAR":
    return loaded(VAR(model["shape"], model["codebook"], model["mixing"]), tensors, "VAR's VQ-VAE")


class VAR(VQGAN):
    def __init__(self, shape: dict[str, Any], codebook: int, mixing: int) -> None:
        super().__init__(shape, kernel=3)
        dim = shape["vq_embed_dim"]
        self.entries = nn.Parameter(torch.empty(codebook, dim))
        self.mixing = nn.ModuleList(nn.Conv2d(dim, dim, 3, padding=1) for _ in range(mixing))

    def encode(self, pixels: Tensor) -> Tensor:
        left = self.latents(pixels).permute(0, 3, 1, 2)  # (B, D, h, w)
        side, rows = left.shape[-1], []
        for step, scale in enumerate(_scales(side)):
            small = F.interpolate(left, size=(scale, scale), mode="area") if scale < side else left
            codes = nearest(small.permute(0, 2, 3, 1).flatten(0, 2), self.entries, fused=True)
            rows.append(codes.view(len(left), -1))
            left = left - self._added(rows[-1], step, side)
        return torch.cat(rows, 1)

    def decode(self, codes: Tensor) -> Tensor:
        side = next(side for side, scales in _SCALES.items() if sum(scale**2 for scale in scales) == codes.shape[1])
        rows = torch.split(codes, [scale**2 for scale in _scales(side)], dim=1)
        total = torch.zeros(len(codes), self.entries.shape[1], side, side, device=codes.device)
        for step, row in enumerate(rows):
            total = total + self._added(row, step, side)
        return self.pixels(total.permute(0, 2, 3, 1)).clamp(-1, 1)

    def _added(self, codes: Tensor, step: int, side: int) -> Tensor:
        """What a grid of codes (B, s·s) adds to the latents (B, D, side, side)."""
        scale = _scales(side)[step]
        entries = F.embedding(codes, self.entries).transpose(1, 2).reshape(len(codes), -1, scale, scale)
        full = F.interpolate(entries, size=(side, side), mode="bicubic") if scale < side else entries
        share = step / (len(_scales(side)) - 1)
        edge = (1 / 3 if len(self.mixing) == 4 else 1 / 2) / len(self.mixing)
        ticks = torch.linspace(edge, 1 - edge, len(self.mixing), dtype=torch.float64)
        mixed: Tensor = self.mixing[int((ticks - share).abs().argmin())](full)
        return full * (1 - _SHARE) + mixed * _SHARE


def _scales(side: int) -> tuple[int, ...]:
    """Raises ValueError for a size that VAR has no scales for."""
    if side not in _SCALES:
        raise ValueError(f"VAR encodes {' or '.join(str(16 * known) for known in _SCALES)} px")
    return _SCALES[side]


def _with_q_k_v(tensors: Tensors) -> Tensors:
    """VAR keeps the three matrices of an attention in one kernel; taming has one each."""
    split: Tensors = {}
    for name, value in tensors.items():
        if ".qkv." in name:
            split |= {
                name.replace(".qkv.", f".{which}."): part for which, part in zip("qkv", value.chunk(3), strict=True)
            }
        else:
            split[name] = value
    return split
