"""The encoder and decoder of VQGAN (Esser et al. 2021), which many tokenizers share: `diffusers.VQModel` without its
codebook, from tensors that bear the names of taming-transformers.

    tensors, shape = vqgan_tensors(tensors)        # taming's names → those of diffusers; the shape is read from them
    network = VQGAN(shape)
    latents = network.latents(pixels)              # (B, 3, H, W) → (B, h, w, D)
    pixels = network.pixels(latents)
"""

import re
from typing import Any

import diffusers
from torch import Tensor, nn

from .network import Tensors

_VQModel: Any = diffusers.VQModel
LIBRARY = diffusers  # its release is part of the identity


class VQGAN(nn.Module):
    def __init__(self, shape: dict[str, Any], kernel: int = 1) -> None:
        """`kernel` is that of the convolutions around the quantizer."""
        super().__init__()
        self.network = _VQModel(**shape, num_vq_embeddings=1)
        del self.network.quantize  # each kind searches in its own way
        if kernel > 1:
            channels, dim = shape["latent_channels"], shape["vq_embed_dim"]
            self.network.quant_conv = nn.Conv2d(channels, dim, kernel, padding=kernel // 2)
            self.network.post_quant_conv = nn.Conv2d(dim, channels, kernel, padding=kernel // 2)

    def latents(self, pixels: Tensor) -> Tensor:
        latents: Tensor = self.network.encode(pixels).latents
        return latents.permute(0, 2, 3, 1).float()

    def pixels(self, latents: Tensor) -> Tensor:
        decoded: Tensor = self.network.decode(latents.permute(0, 3, 1, 2), force_not_quantize=True).sample
        return decoded


def vqgan_tensors(tensors: Tensors) -> tuple[Tensors, dict[str, Any]]:
    """The tensors of the encoder and decoder as `VQGAN` takes them, and its shape. Raises KeyError."""
    shape = _shape(tensors)
    levels = len(shape["block_out_channels"])
    named: Tensors = {}
    for name, value in tensors.items():
        if name.startswith(("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")):
            renamed = _diffusers_name(name, levels)
            is_matrix = re.search(r"\.(to_[qkv]|to_out\.0)\.weight$", renamed) and value.ndim == 4
            named[f"network.{renamed}"] = (value[:, :, 0, 0] if is_matrix else value).float()  # 1 × 1 kernels
    return named, shape


def without(tensors: Tensors, *prefixes: str) -> Tensors:
    return {name: value for name, value in tensors.items() if not name.startswith(prefixes)}


def count(tensors: Tensors, pattern: str) -> int:
    """One more than the largest number that the group of `pattern` takes in the names."""
    return max((int(match[1]) for name in tensors if (match := re.match(pattern, name))), default=-1) + 1


def _shape(tensors: Tensors) -> dict[str, Any]:
    """The arguments of `diffusers.VQModel`. Raises KeyError."""
    levels = count(tensors, r"encoder\.down\.(\d+)\.")
    widths = [tensors[f"encoder.down.{level}.block.0.conv2.weight"].shape[0] for level in range(levels)]
    attention = [any(name.startswith(f"encoder.down.{level}.attn.") for name in tensors) for level in range(levels)]
    kinds = ["AttnDownEncoderBlock2D" if has else "DownEncoderBlock2D" for has in attention]
    return {
        "in_channels": tensors["encoder.conv_in.weight"].shape[1],
        "out_channels": tensors["decoder.conv_out.weight"].shape[0],
        "down_block_types": kinds,
        "up_block_types": [kind.replace("Down", "Up").replace("Encoder", "Decoder") for kind in reversed(kinds)],
        "block_out_channels": widths,
        "layers_per_block": count(tensors, r"encoder\.down\.0\.block\.(\d+)\."),
        "latent_channels": tensors["encoder.conv_out.weight"].shape[0],
        "vq_embed_dim": tensors["quant_conv.weight"].shape[0],
    }


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
