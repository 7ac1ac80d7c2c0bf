"""`kind: titok`: TiTok (Yu et al. 2024, bytedance's 1d-tokenizer): a picture as a row of 32 to 256 codes.

A transformer reads patches and latent tokens; each latent token becomes a code. Pixels are 0 … 1, of exactly one size.
Both decoders are known: the first release predicts codes of MaskGIT's VQGAN, the later one pixels. The networks are
stated here from the original; their shapes are read from the tensors and from config.json where it lies beside.
"""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...manifests.errors import BadInput
from .checkpoint import missing, read_tensors, weight_files
from .maskgit_vqgan import Decoder, decoder_shape
from .network import UNIT, Converted, Tensors, loaded, release
from .search import nearest
from .vqgan import count

_HEAD = 64  # channels of an attention head, in each published size


def convert(path: Path) -> Converted:
    """Raises BadInput when it is not TiTok's, or its latents are not quantized."""
    tensors = {name: value.float() for name, value in read_tensors(path).items()}
    config = path / "config.json"
    said = json.loads(config.read_bytes())["model"]["vq_model"] if config.is_file() else {}
    if said.get("quantize_mode", "vq") != "vq":
        raise BadInput(f"{path}: its latents are not quantized", cure="name a TiTok whose quantize_mode is vq")
    try:
        model = _model(tensors)
        model["normalised"] = bool(said.get("use_l2_norm", model["pixel_decoder"] is not None))
    except KeyError as error:
        raise missing(path, error, "TiTok's") from None
    return Converted(
        tensors=tensors,
        model=model,
        codebook=model["codebook"],
        normalisation=UNIT,
        library=release(torch),
        files=(*([config] if config.is_file() else []), *weight_files(path)),
        name=path.stem,
    )


def build(model: dict[str, Any], tensors: Tensors) -> "TiTok":
    return loaded(TiTok(model), tensors, "TiTok")


def _model(tensors: Tensors) -> dict[str, Any]:
    """The arguments of `TiTok`. Raises KeyError."""
    codebook, dim = tensors["quantize.embedding.weight"].shape
    predicts_pixels = "decoder.conv_out.weight" in tensors
    return {
        "tokens": len(tensors["latent_tokens"]),
        "codebook": codebook,
        "dim": dim,
        "cells": len(tensors["encoder.positional_embedding"]) - 1,
        "patch": tensors["encoder.patch_embed.weight"].shape[-1],
        "encoder": {"width": tensors["encoder.class_embedding"].shape[-1], "layers": _layers(tensors, "encoder")},
        "decoder": {"width": tensors["decoder.class_embedding"].shape[-1], "layers": _layers(tensors, "decoder")},
        "pixel_codes": None if predicts_pixels else list(tensors["pixel_quantize.embedding.weight"].shape),
        "pixel_decoder": None if predicts_pixels else decoder_shape(tensors, "pixel_decoder."),
    }


def _layers(tensors: Tensors, half: str) -> int:
    return count(tensors, rf"{half}\.transformer\.(\d+)\.")


class TiTok(nn.Module):
    def __init__(self, model: dict[str, Any]) -> None:
        super().__init__()
        self._normalised, self._is_legacy = model["normalised"], model["pixel_decoder"] is not None
        self.latent_tokens = nn.Parameter(torch.empty(model["tokens"], model["encoder"]["width"]))
        self.encoder, self.decoder = _Encoder(model), _Decoder(model)
        self.quantize = _holding(embedding=nn.Embedding(model["codebook"], model["dim"]))
        if self._is_legacy:
            self.pixel_quantize = _holding(embedding=nn.Embedding(*model["pixel_codes"]))
            self.pixel_decoder = Decoder(**model["pixel_decoder"])

    def encode(self, pixels: Tensor) -> Tensor:
        latents = self.encoder(pixels, self.latent_tokens, self._is_legacy).float()  # (B, n, D)
        flat = latents.flatten(0, 1)
        flat = F.normalize(flat, dim=-1) if self._normalised else flat
        return nearest(flat, self._entries()).view(latents.shape[:-1])

    def decode(self, codes: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(F.embedding(codes, self._entries()))
        if self._is_legacy:
            entries: Any = self.pixel_quantize["embedding"].weight
            decoded = self.pixel_decoder(torch.einsum("nchw,cd->ndhw", decoded.softmax(1), entries))
        return decoded.clamp(0, 1)

    def _entries(self) -> Tensor:
        entries: Any = self.quantize["embedding"].weight
        return F.normalize(entries, dim=-1) if self._normalised else entries


class _Transformer(nn.Module):
    """What both halves have: their places, their blocks, and the token at the head of the cells."""

    def __init__(self, width: int, layers: int, model: dict[str, Any]) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(1, width))
        self.positional_embedding = nn.Parameter(torch.empty(model["cells"] + 1, width))
        self.latent_token_positional_embedding = nn.Parameter(torch.empty(model["tokens"], width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = nn.Sequential(*(_Block(width) for _ in range(layers)))

    def through(self, cells: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(B, cells, width) and (B, n, width), before and after."""
        cells = torch.cat([_for_each(self.class_embedding, cells), cells], dim=1) + self.positional_embedding
        tokens = tokens + self.latent_token_positional_embedding
        hidden = self.ln_pre(torch.cat([cells, tokens], dim=1)).transpose(0, 1)  # (length, B, width)
        hidden = self.transformer(hidden).transpose(0, 1)
        return self.ln_post(hidden[:, 1 : cells.shape[1]]), self.ln_post(hidden[:, cells.shape[1] :])


class _Encoder(_Transformer):
    def __init__(self, model: dict[str, Any]) -> None:
        width = model["encoder"]["width"]
        super().__init__(width, model["encoder"]["layers"], model)
        self.patch_embed = nn.Conv2d(3, width, model["patch"], stride=model["patch"])
        self.conv_out = nn.Conv2d(width, model["dim"], 1)

    def forward(self, pixels: Tensor, latent_tokens: Tensor, is_legacy: bool) -> Tensor:
        cells = self.patch_embed(pixels).flatten(2).transpose(1, 2)
        hidden = self.through(cells, _for_each(latent_tokens, cells))[1]  # (B, n, width)
        batch, number, width = hidden.shape
        # The first release reads the memory of (n, width) as (width, n), and was trained so.
        hidden = hidden.reshape(batch, width, number) if is_legacy else hidden.transpose(1, 2)
        latents: Tensor = self.conv_out(hidden[..., None])  # (B, D, n, 1)
        return latents.reshape(batch, -1, number).transpose(1, 2)


class _Decoder(_Transformer):
    def __init__(self, model: dict[str, Any]) -> None:
        width, patch = model["decoder"]["width"], model["patch"]
        super().__init__(width, model["decoder"]["layers"], model)
        self._side = round(model["cells"] ** 0.5)
        self.decoder_embed = nn.Linear(model["dim"], width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        if model["pixel_decoder"]:
            codes = model["pixel_codes"][0]
            self.ffn = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.Tanh(), nn.Conv2d(2 * width, codes, 1))
            self.conv_out: nn.Module = nn.Identity()
        else:
            self.ffn = nn.Sequential(nn.Conv2d(width, 3 * patch * patch, 1), _Unpatched(patch))
            self.conv_out = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, entries: Tensor) -> Tensor:
        masks = self.mask_token.expand(len(entries), self._side**2, -1)
        hidden = self.through(masks, self.decoder_embed(entries))[0]
        grid = hidden.transpose(1, 2).reshape(len(entries), -1, self._side, self._side)
        decoded: Tensor = self.conv_out(self.ffn(grid.contiguous()))
        return decoded


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, width // _HEAD)
        self.mlp = _holding(c_fc=nn.Linear(width, 4 * width), c_proj=nn.Linear(4 * width, width))

    def forward(self, hidden: Tensor) -> Tensor:
        normed = self.ln_1(hidden)
        hidden = hidden + self.attn(normed, normed, normed, need_weights=False)[0]
        change: Tensor = self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(hidden))))
        return hidden + change


class _Unpatched(nn.Module):
    def __init__(self, patch: int) -> None:
        super().__init__()
        self._patch = patch

    def forward(self, grid: Tensor) -> Tensor:
        """(B, p·p·3, h, w) → (B, 3, h·p, w·p)."""
        batch, _, height, width = grid.shape
        cells: Tensor = grid.view(batch, self._patch, self._patch, 3, height, width).permute(0, 3, 4, 1, 5, 2)
        return cells.reshape(batch, 3, height * self._patch, width * self._patch)


def _holding(**modules: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict(modules)


def _for_each(token: Tensor, rows: Tensor) -> Tensor:
    """(n, width) → (B, n, width)."""
    return token[None].expand(len(rows), -1, -1)
