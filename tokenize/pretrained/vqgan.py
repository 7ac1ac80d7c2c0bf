"""`kind: taming` and `kind: llamagen`: VQGAN checkpoints of taming-transformers and of LlamaGen (VQ-8, VQ-16).

Both are hosted by the network of `diffusers.VQModel` under other names of the tensors; the shape is read from them.
taming takes the nearest entry of the codebook; LlamaGen normalises latents and entries first.
"""

import re
from pathlib import Path
from typing import Any

import diffusers
import torch
import torch.nn.functional as F
from torch import Tensor

from ...manifests.errors import BadInput
from .checkpoint import loaded, read_tensors
from .network import HALF, Converted

Tensors = dict[str, Tensor]

_VQModel: Any = diffusers.VQModel


def convert_taming(path: Path) -> Converted:
    return _convert(path, _without(read_tensors(path, "state_dict"), ("loss.", "model_ema.")), normalised=False)


def convert_llamagen(path: Path) -> Converted:
    tensors = read_tensors(path, "model", "state_dict", "ema")
    levels = _count(tensors, r"decoder\.conv_blocks\.(\d+)\.")
    if not levels:
        raise BadInput(f"{path}: has no decoder.conv_blocks, so it is not LlamaGen's", cure="correct `kind`")
    renamed = {_llamagen_name(name, levels): value for name, value in tensors.items()}
    return _convert(path, _without(renamed, ("quantize.codebook_used",)), normalised=True)


def build(model: dict[str, Any], tensors: Tensors) -> "VQGAN":
    network: Any = _VQModel(**model["network"])
    loaded(network, tensors, "the VQGAN")
    return VQGAN(network, model["normalised"])


class VQGAN:
    def __init__(self, network: Any, normalised: bool) -> None:
        self._network, self._normalised = network, normalised
        entries: Tensor = network.quantize.embedding.weight  # (K, D)
        self._entries = F.normalize(entries, dim=-1) if normalised else entries

    def encode(self, pixels: Tensor) -> Tensor:
        latents: Tensor = self._network.encode(pixels).latents.permute(0, 2, 3, 1)  # (B, h, w, D)
        flat = latents.reshape(-1, latents.shape[-1])
        flat = F.normalize(flat, dim=-1) if self._normalised else flat
        # |z|² + |e|² − 2 z·e, as both originals add it up
        distances = (
            flat.square().sum(1, keepdim=True)
            + self._entries.square().sum(1)
            - 2 * torch.einsum("nd,kd->nk", flat, self._entries)
        )
        return distances.argmin(1).view(latents.shape[:-1])

    def decode(self, codes: Tensor) -> Tensor:
        quantized = F.embedding(codes, self._entries).permute(0, 3, 1, 2)
        decoded: Tensor = self._network.decode(quantized, force_not_quantize=True).sample
        return decoded


def _convert(path: Path, tensors: Tensors, normalised: bool) -> Converted:
    try:
        network = _shape(tensors)
    except KeyError as error:
        raise BadInput(f"{path}: has no {error.args[0]}, so it is no VQGAN", cure="correct `kind`") from None
    return Converted(
        tensors={name: value.float() for name, value in _diffusers_names(tensors).items()},
        model={"network": network, "normalised": normalised},
        codebook=network["num_vq_embeddings"],
        normalisation=HALF,
        library=f"diffusers {'.'.join(diffusers.__version__.split('.')[:2])}",
        name=path.stem,
    )


def _shape(tensors: Tensors) -> dict[str, Any]:
    """The arguments of `diffusers.VQModel`, from the tensors' shapes. Raises KeyError when one is not there."""
    levels = _count(tensors, r"encoder\.down\.(\d+)\.")
    widths = [tensors[f"encoder.down.{level}.block.0.conv2.weight"].shape[0] for level in range(levels)]
    attention = [any(name.startswith(f"encoder.down.{level}.attn.") for name in tensors) for level in range(levels)]
    entries, dim = tensors["quantize.embedding.weight"].shape
    kinds = ["AttnDownEncoderBlock2D" if has else "DownEncoderBlock2D" for has in attention]
    return {
        "in_channels": tensors["encoder.conv_in.weight"].shape[1],
        "out_channels": tensors["decoder.conv_out.weight"].shape[0],
        "down_block_types": kinds,
        "up_block_types": [kind.replace("Down", "Up").replace("Encoder", "Decoder") for kind in reversed(kinds)],
        "block_out_channels": widths,
        "layers_per_block": _count(tensors, r"encoder\.down\.0\.block\.(\d+)\."),
        "latent_channels": tensors["encoder.conv_out.weight"].shape[0],
        "num_vq_embeddings": entries,
        "vq_embed_dim": dim,
    }


def _diffusers_names(tensors: Tensors) -> Tensors:
    levels = _count(tensors, r"encoder\.down\.(\d+)\.")
    named: Tensors = {}
    for name, value in tensors.items():
        renamed = _diffusers_name(name, levels)
        is_matrix = re.search(r"\.(to_[qkv]|to_out\.0)\.weight$", renamed) and value.ndim == 4
        named[renamed] = value[:, :, 0, 0] if is_matrix else value  # 1 × 1 kernels
    return named


def _diffusers_name(name: str, levels: int) -> str:
    name = re.sub(r"\.down\.(\d+)\.", r".down_blocks.\1.", name)
    name = re.sub(r"\.up\.(\d+)\.", lambda match: f".up_blocks.{levels - 1 - int(match[1])}.", name)
    name = re.sub(r"(_blocks\.\d+)\.block\.", r"\1.resnets.", name)
    name = re.sub(r"(_blocks\.\d+)\.attn\.", r"\1.attentions.", name)
    name = re.sub(r"\.mid\.block_([12])\.", lambda match: f".mid_block.resnets.{int(match[1]) - 1}.", name)
    name = name.replace(".mid.attn_1.", ".mid_block.attentions.0.")
    name = name.replace(".downsample.", ".downsamplers.0.").replace(".upsample.", ".upsamplers.0.")
    name = name.replace(".nin_shortcut.", ".conv_shortcut.").replace(".norm_out.", ".conv_norm_out.")
    if ".attentions." in name:
        name = re.sub(r"\.norm\.", ".group_norm.", name)
        name = re.sub(r"\.([qkv])\.", r".to_\1.", name).replace(".proj_out.", ".to_out.0.")
    return name


def _llamagen_name(name: str, levels: int) -> str:
    """LlamaGen's names → taming's. Its decoder counts from the coarse end, taming's from the fine one."""
    name = re.sub(r"^encoder\.conv_blocks\.(\d+)\.res\.", r"encoder.down.\1.block.", name)
    name = re.sub(r"^encoder\.conv_blocks\.(\d+)\.", r"encoder.down.\1.", name)
    name = re.sub(
        r"^decoder\.conv_blocks\.(\d+)\.(res\.)?",
        lambda match: f"decoder.up.{levels - 1 - int(match[1])}.{'block.' if match[2] else ''}",
        name,
    )
    for number, block in enumerate(("block_1", "attn_1", "block_2")):
        name = name.replace(f".mid.{number}.", f".mid.{block}.")
    return name


def _count(tensors: Tensors, pattern: str) -> int:
    numbers = {int(match[1]) for name in tensors if (match := re.match(pattern, name))}
    return max(numbers, default=-1) + 1


def _without(tensors: Tensors, prefixes: tuple[str, ...]) -> Tensors:
    return {name: value for name, value in tensors.items() if not name.startswith(prefixes)}
