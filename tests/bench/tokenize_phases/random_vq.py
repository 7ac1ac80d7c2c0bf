"""LlamaGen's VQ-16 with random weights: its hub is out of reach here, and weights change no second.

    write_vq16(Path("models/vq-16"))           # a folder of diffusers' VQModel, 72M parameters

The network is the same under other names; the search is diffusers' own, among 16,384 entries of 8 dimensions.
"""

from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor

SHAPE = {
    "down_block_types": ["DownEncoderBlock2D"] * 4 + ["AttnDownEncoderBlock2D"],
    "up_block_types": ["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 128, 256, 256, 512],
    "layers_per_block": 2,
    "latent_channels": 256,
    "num_vq_embeddings": 16384,
    "vq_embed_dim": 8,
    "sample_size": 256,
}


def write_vq16(folder: Path) -> Path:
    """Return `folder`, written unless it is there."""
    if not folder.is_dir():
        torch.manual_seed(0)
        network: Any = diffusers.VQModel
        model = network(**SHAPE)
        torch.nn.init.normal_(model.quantize.embedding.weight)
        model.save_pretrained(folder)
    return folder


class VQ16:
    """The library's own calls, as its users write them."""

    def __init__(self, folder: Path) -> None:
        network: Any = diffusers.VQModel
        self._model = network.from_pretrained(folder).eval()

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, side, side) in −1 … 1 → int64 (B, n)."""
        codes: Tensor = self._model.quantize(self._model.encode(pixels).latents)[2][2]
        return codes.view(len(pixels), -1)
