"""`kind: transformers`: `Emu3VQVAE`, `JanusVQVAE`, `ChameleonVQVAE` or `Apertus1p5VisionTokenizerModel` (Emu3.5's).

The folder may be that of the tokenizer alone or of the whole model that it is a part of: the wanted tensors are taken
by their prefix, and every one of them must be there. `from_pretrained` would fill missing ones with random numbers.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from ...manifests.errors import BadInput
from .checkpoint import read_config, read_tensors, weight_files
from .network import HALF, Converted, Tensors, loaded, release
from .search import most_similar, nearest

Function = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True)
class _Kind:
    network: str  # class of transformers
    config: str
    codebook: str  # key of the configuration
    encode: Function
    decode: Function | None = None


def _encode_emu3(network: Any, pixels: Tensor) -> Tensor:
    """A picture is a film of `temporal_downsample_factor` equal frames. The library encodes each of them."""
    encoder, frames = network.encoder, network.config.temporal_downsample_factor
    hidden = encoder.middle_block(encoder.down_block(encoder.conv_in(pixels)))
    hidden = encoder.norm_out(hidden)
    hidden = encoder.conv_out(hidden * torch.sigmoid(hidden))  # (B, C, h, w)
    film = hidden[:, :, None].repeat(1, 1, frames, 1, 1)  # (B, C, T, h, w)
    for halved in encoder.time_conv:
        film = halved(film)
        film = film * torch.sigmoid(film)
    for block in encoder.time_res_stack:
        film = block(film)
    latents = network.quant_conv(film).permute(0, 2, 3, 4, 1)[:, 0].float()  # (B, h, w, D)
    return nearest(latents.flatten(0, 2), network.quantize.embedding.weight).view(latents.shape[:-1])


def _encode_grid(network: Any, pixels: Tensor) -> Tensor:
    latents = network.quant_conv(network.encoder(pixels)).permute(0, 2, 3, 1).float()  # (B, h, w, D)
    return nearest(latents.flatten(0, 2), network.quantize.embedding.weight).view(latents.shape[:-1])


def _encode_apertus(network: Any, pixels: Tensor) -> Tensor:
    latents = network.quant_conv(network.encoder(pixels)).permute(0, 2, 3, 1).float()  # (B, h, w, D)
    return most_similar(latents.flatten(0, 2), network.quantize.embedding.weight).view(latents.shape[:-1])


def _decode_emu3(network: Any, codes: Tensor) -> Tensor:
    pixels: Tensor = network.decode(codes)
    return pixels


def _decode_janus(network: Any, codes: Tensor) -> Tensor:
    network.quantize.quant_state_dims = list(codes.shape[1:])  # else only the size of its configuration
    pixels: Tensor = network.decode(codes.flatten(1))
    return pixels


_KINDS = {  # by `model_type`
    "emu3_vqgan": _Kind("Emu3VQVAE", "Emu3VQVAEConfig", "codebook_size", _encode_emu3, _decode_emu3),
    "janus_vqgan": _Kind("JanusVQVAE", "JanusVQVAEConfig", "num_embeddings", _encode_grid, _decode_janus),
    "chameleon_vqgan": _Kind("ChameleonVQVAE", "ChameleonVQVAEConfig", "num_embeddings", _encode_grid),
    "apertus1p5_vision_tokenizer": _Kind(
        "Apertus1p5VisionTokenizerModel", "Apertus1p5VisionTokenizerConfig", "codebook_size", _encode_apertus
    ),
}
_PREFIXES = (
    "model.vqmodel.",
    "vqmodel.",
    "model.vision_tokenizer.",
    "vision_tokenizer.",
)  # of the tensors in whole models
_OF_MODEL = {  # the `model_type` of a whole model → its tokenizer's, and the key of that one's configuration
    "emu3": ("emu3_vqgan", "vq_config"),
    "janus": ("janus_vqgan", "vq_config"),
    "chameleon": ("chameleon_vqgan", "vq_config"),
    "apertus1p5": ("apertus1p5_vision_tokenizer", "vision_config"),
}
_BAAI = "Emu3VisionVQ"  # the `model_type` of Emu3's tokenizer as its authors publish it
MODEL_TYPES = (*_KINDS, *_OF_MODEL, _BAAI)


def convert(path: Path) -> Converted:
    """Raises BadInput when the folder holds none of them."""
    config = read_config(path)
    model_type = str(config.get("model_type", ""))
    if model_type not in MODEL_TYPES:
        held = f"holds a `{model_type or 'model without model_type'}`"
        raise BadInput(f"{path}: {held}", cure=f"name a folder with one of {', '.join(MODEL_TYPES)}")
    tensors = _wanted(read_tensors(path))
    if model_type == _BAAI:
        kind, config, tensors = "emu3_vqgan", _config_of_baai(config), _names_of_baai(tensors)
    elif model_type in _OF_MODEL:
        kind, key = _OF_MODEL[model_type]
        config = config.get(key) or {}
    else:
        kind = model_type
    parsed = getattr(transformers, _KINDS[kind].config).from_dict(dict(config))
    return Converted(
        tensors=tensors,
        model={"kind": kind, "config": parsed.to_diff_dict()},
        codebook=int(getattr(parsed, _KINDS[kind].codebook)),
        normalisation=HALF,
        library=release(transformers),
        files=(path / "config.json", *weight_files(path)),
        name=path.name,
        decodes=_KINDS[kind].decode is not None,
    )


def build(model: dict[str, Any], tensors: Tensors) -> "TransformersVQ":
    kind = _KINDS[model["kind"]]
    config = getattr(transformers, kind.config).from_dict(model["config"])
    return TransformersVQ(loaded(getattr(transformers, kind.network)(config), tensors, f"the {kind.network}"), kind)


class TransformersVQ(nn.Module):
    def __init__(self, network: Any, kind: _Kind) -> None:
        super().__init__()
        self.network, self._kind = network, kind

    def encode(self, pixels: Tensor) -> Tensor:
        return self._kind.encode(self.network, pixels)

    def decode(self, codes: Tensor) -> Tensor:
        assert self._kind.decode is not None  # else `decodes` is false
        return self._kind.decode(self.network, codes)


def _wanted(tensors: Tensors) -> Tensors:
    for prefix in _PREFIXES:
        found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if found:
            return found
    return tensors


def _config_of_baai(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of `Emu3VQVAE` for BAAI's. Their attention has one head over all channels."""
    same = ("codebook_size", "embed_dim", "in_channels", "out_channels", "temporal_downsample_factor", "num_res_blocks",
            "attn_resolutions")  # fmt: skip
    widths = config["ch"], config["ch_mult"]
    return {
        **{name: config[name] for name in same},
        "latent_channels": config["z_channels"],
        "double_latent": config["double_z"],
        "base_channels": widths[0],
        "channel_multiplier": widths[1],
        "hidden_size": widths[0] * widths[1][-1],
        "num_attention_heads": 1,
    }


def _names_of_baai(tensors: Tensors) -> Tensors:
    """BAAI's names → those of transformers. Their 1 × 1 kernels of attention become matrices."""
    named: Tensors = {}
    for full, value in tensors.items():
        name = re.sub(r"^(en|de)coder\.(down|up)\.", r"\1coder.\2_block.\2.", full).replace(".mid.", ".middle_block.")
        name = re.sub(r"\.attn\.(\d+)\.norm\.", r".attn_norms.\1.", name).replace(".attn_1.norm.", ".attn_norm.")
        is_attention = re.search(r"\.attn(\.\d+|_1)\.", name)
        if is_attention:
            name = re.sub(r"\.([qkv])\.", r".\1_proj.", name).replace(".proj_out.", ".out_proj.")
        named[name] = value[:, :, 0, 0] if is_attention and value.ndim == 4 else value
    return named
