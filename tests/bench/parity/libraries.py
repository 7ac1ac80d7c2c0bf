"""Tokenizers of diffusers and transformers with random weights, saved as the libraries save them.

original = LIBRARIES["diffusers, aMUSEd"](None, small=False)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import Tensor

from .originals import _UNIT, Original

_VQModel: Any = diffusers.VQModel


@dataclass
class Library(Original):
    """A model that saves itself."""

    def write(self, folder: Path) -> str:
        module: Any = self.module
        module.save_pretrained(folder / "model")
        return "model"


def _vqmodel(small: bool, widths: list[int], attention: list[bool], **more: Any) -> Library:
    torch.manual_seed(0)
    if small:
        widths, attention, more = [32, 64], [False, True], {**more, "num_vq_embeddings": 64, "layers_per_block": 1}
    kinds = ["AttnDownEncoderBlock2D" if has else "DownEncoderBlock2D" for has in attention]
    model = _VQModel(
        block_out_channels=widths, down_block_types=kinds,
        up_block_types=[kind.replace("Down", "Up").replace("Encoder", "Decoder") for kind in reversed(kinds)], **more,
    ).eval()  # fmt: skip
    torch.nn.init.normal_(model.quantize.embedding.weight)
    looks_up = bool(more.get("lookup_from_codebook"))

    def encode(pixels: Tensor) -> Tensor:
        latents = model.encode(pixels).latents
        return model.quantize(latents)[2][2].view(len(pixels), *latents.shape[2:])  # type: ignore[no-any-return]

    def decode(codes: Tensor) -> Tensor:
        shape = (*codes.shape, model.config.vq_embed_dim or model.config.latent_channels)
        if looks_up:
            return model.decode(codes, force_not_quantize=True, shape=shape).sample  # type: ignore[no-any-return]
        entries = model.quantize.get_codebook_entry(codes.reshape(-1), shape)
        return model.decode(entries, force_not_quantize=True).sample  # type: ignore[no-any-return]

    return Library(model, encode, decode, 32 if small else 256, {}, **(_UNIT if looks_up else {}))


def amused(folder: Path, small: bool) -> Original:
    return _vqmodel(
        small, [128, 256, 256, 512, 768], [False] * 5, layers_per_block=2, latent_channels=64, num_vq_embeddings=8192,
        mid_block_add_attention=False, lookup_from_codebook=True,
    )  # fmt: skip


def movq(folder: Path, small: bool) -> Original:
    return _vqmodel(
        small, [128, 256, 256, 512], [False, False, False, True], layers_per_block=2, latent_channels=4,
        num_vq_embeddings=16384, vq_embed_dim=4, norm_type="spatial",
    )  # fmt: skip


def _transformers(name: str, config: str, small: bool, shape: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    model = getattr(transformers, name)(getattr(transformers, config)(**(shape if small else {}))).eval()
    torch.nn.init.normal_(model.quantize.embedding.weight, std=0.1)  # about that of the latents
    return model


_SMALL = {"base_channels": 32, "channel_multiplier": [1, 2], "num_res_blocks": 1}


def emu3(folder: Path, small: bool) -> Original:
    shape = {**_SMALL, "codebook_size": 64, "attn_resolutions": [], "hidden_size": 64}
    model = _transformers("Emu3VQVAE", "Emu3VQVAEConfig", small, shape)

    def encode(pixels: Tensor) -> Tensor:
        return torch.stack(model.encode(pixels, image_sizes=[tuple(pixels.shape[2:])] * len(pixels)).image_tokens)

    return Library(model, encode, model.decode, 32 if small else 256, {})


def janus(folder: Path, small: bool) -> Original:
    shape = {**_SMALL, "num_embeddings": 64, "embed_dim": 8, "latent_channels": 8, "num_patches": 16}
    model = _transformers("JanusVQVAE", "JanusVQVAEConfig", small, shape)
    side_px = 32 if small else 16 * model.config.num_patches

    def encode(pixels: Tensor) -> Tensor:
        side = model.config.num_patches
        return model.encode(pixels).image_tokens.view(len(pixels), side, side)  # type: ignore[no-any-return]

    return Library(model, encode, lambda codes: model.decode(codes.flatten(1)), side_px, {})


def chameleon(folder: Path, small: bool) -> Original:
    shape = {**_SMALL, "num_embeddings": 64, "embed_dim": 8, "latent_channels": 8, "resolution": 32,
             "attn_resolutions": []}  # fmt: skip
    model = _transformers("ChameleonVQVAE", "ChameleonVQVAEConfig", small, shape)

    def encode(pixels: Tensor) -> Tensor:
        codes = model.encode(pixels).image_tokens
        side = int((codes.numel() // len(pixels)) ** 0.5)
        return codes.view(len(pixels), side, side)  # type: ignore[no-any-return]

    return Library(model, encode, None, 32 if small else 256, {})


def apertus(folder: Path, small: bool) -> Original:
    shape = {**_SMALL, "codebook_size": 64, "embed_dim": 8, "latent_channels": 8, "resolution": 32,
             "attn_resolutions": [16]}  # fmt: skip
    model = _transformers("Apertus1p5VisionTokenizerModel", "Apertus1p5VisionTokenizerConfig", small, shape)
    return Library(model, lambda pixels: model.encode(pixels).image_tokens, None, 32 if small else 256, {})


LIBRARIES: dict[str, Callable[[Path, bool], Original]] = {
    "diffusers, aMUSEd": amused,
    "diffusers, MoVQ": movq,
    "transformers, Emu3": emu3,
    "transformers, Janus": janus,
    "transformers, Chameleon": chameleon,
    "transformers, Apertus": apertus,
}
