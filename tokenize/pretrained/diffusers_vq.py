"""`kind: diffusers`: a folder of `diffusers.VQModel` (aMUSEd, MoVQ of Kandinsky, VQ-Diffusion, LDM f4, f8 and f16).

Pixels are −1 … 1; those of models that look codes up themselves (aMUSEd) 0 … 1.
"""

from pathlib import Path
from typing import Any

import diffusers
from torch import Tensor, nn

from ...manifests.errors import BadInput
from ..devices import exact
from .checkpoint import read_config, read_tensors, weight_files
from .network import HALF, UNIT, Converted, Tensors, loaded, release

_BELOW = ("", "vqvae", "movq", "vae")  # where whole pipelines keep it

_VQModel: Any = diffusers.VQModel


def convert(path: Path) -> Converted:
    """Raises BadInput when there is no VQModel in the folder."""
    folder = next((path / below for below in _BELOW if (path / below / "config.json").is_file()), path)
    config = read_config(folder)
    if config.get("_class_name") != "VQModel":
        held = config.get("_class_name") or config.get("model_type") or "no class"
        raise BadInput(f"{folder}: holds {held}, not a VQModel", cure="name the folder of a diffusers VQModel")
    model = {name: value for name, value in config.items() if not name.startswith("_")}
    return Converted(
        tensors=read_tensors(folder),
        model=model,
        codebook=int(model["num_vq_embeddings"]),
        normalisation=UNIT if model.get("lookup_from_codebook") else HALF,
        library=release(diffusers),
        files=(folder / "config.json", *weight_files(folder)),
        name=str(config.get("_name_or_path") or folder.name),
    )


def build(model: dict[str, Any], tensors: Tensors) -> "DiffusersVQ":
    return DiffusersVQ(loaded(_VQModel(**model), tensors, "the VQModel"))


class DiffusersVQ(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def encode(self, pixels: Tensor) -> Tensor:
        latents: Tensor = self.network.encode(pixels).latents.float()  # (B, C, h, w)
        with exact(latents.device):
            indices: Tensor = self.network.quantize(latents)[2][2]  # (B·h·w)
        return indices.view(len(latents), *latents.shape[2:])

    def decode(self, codes: Tensor) -> Tensor:
        shape = (*codes.shape, self.network.config.vq_embed_dim or self.network.config.latent_channels)
        if getattr(self.network.config, "lookup_from_codebook", False):
            pixels: Tensor = self.network.decode(codes, force_not_quantize=True, shape=shape).sample
            return pixels
        quantized = self.network.quantize.get_codebook_entry(codes.reshape(-1), shape)
        decoded: Tensor = self.network.decode(quantized, force_not_quantize=True).sample
        return decoded
