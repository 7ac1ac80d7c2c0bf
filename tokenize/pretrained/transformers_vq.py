"""`kind: transformers`: `Emu3VQVAE`, `JanusVQVAE` or `ChameleonVQVAE` from a folder of transformers.

The folder may be that of the tokenizer alone or of the whole model that it is a part of: the wanted tensors are taken
by their prefix, and every one of them must be there. `from_pretrained` would fill missing ones with random numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from ...manifests.errors import BadInput
from .checkpoint import loaded, read_config, read_tensors
from .network import HALF, Converted


@dataclass(frozen=True)
class _Kind:
    network: str  # class of transformers; that of its configuration is called so, and Config
    codebook: str  # key of the configuration
    encode: Callable[[Any, Tensor], Tensor]
    decode: Callable[[Any, Tensor], Tensor] | None


def _encode_emu3(network: Any, pixels: Tensor) -> Tensor:
    sizes = [tuple(pixels.shape[2:])] * len(pixels)
    return torch.stack(network.encode(pixels, image_sizes=sizes).image_tokens)


def _encode_flat(network: Any, pixels: Tensor) -> Tensor:
    tokens: Tensor = network.encode(pixels).image_tokens
    side = int((tokens.numel() // len(pixels)) ** 0.5)
    return tokens.view(len(pixels), side, side)


def _decode_emu3(network: Any, codes: Tensor) -> Tensor:
    pixels: Tensor = network.decode(codes)
    return pixels


def _decode_janus(network: Any, codes: Tensor) -> Tensor:
    network.quantize.quant_state_dims = list(codes.shape[1:])  # else only the size of its configuration
    pixels: Tensor = network.decode(codes.flatten(1))
    return pixels


_KINDS = {
    "emu3_vqgan": _Kind("Emu3VQVAE", "codebook_size", _encode_emu3, _decode_emu3),
    "janus_vqgan": _Kind("JanusVQVAE", "num_embeddings", _encode_flat, _decode_janus),
    "chameleon_vqgan": _Kind("ChameleonVQVAE", "num_embeddings", _encode_flat, None),
}
_PREFIXES = ("model.vqmodel.", "vqmodel.")  # of the tensors in whole models
_OF_MODEL = {"emu3": "emu3_vqgan", "janus": "janus_vqgan", "chameleon": "chameleon_vqgan"}


def convert(path: Path) -> Converted:
    """Raises BadInput when the folder holds none of the three."""
    config = read_config(path)
    model_type = str(config.get("model_type", ""))
    kind = _OF_MODEL.get(model_type, model_type)
    if kind not in _KINDS:
        raise BadInput(
            f"{path}: holds a `{model_type or 'model without model_type'}`",
            cure=f"name a folder with one of {', '.join(sorted({*_KINDS, *_OF_MODEL}))}",
        )
    model = config if model_type in _KINDS else config.get("vq_config") or {}
    parsed = getattr(transformers, f"{_KINDS[kind].network}Config").from_dict(dict(model))
    return Converted(
        tensors=_wanted(read_tensors(path)),
        model={"kind": kind, "config": parsed.to_diff_dict()},
        codebook=int(getattr(parsed, _KINDS[kind].codebook)),
        normalisation=HALF,
        library=f"transformers {'.'.join(transformers.__version__.split('.')[:2])}",
        name=path.name,
    )


def build(model: dict[str, Any], tensors: dict[str, Tensor]) -> "TransformersVQ":
    kind = _KINDS[model["kind"]]
    network = getattr(transformers, kind.network)(
        getattr(transformers, f"{kind.network}Config").from_dict(model["config"])
    )
    loaded(network, tensors, f"the {kind.network}")
    return TransformersVQ(network, kind)


class TransformersVQ:
    def __init__(self, network: Any, kind: _Kind) -> None:
        self._network, self._kind = network, kind

    def encode(self, pixels: Tensor) -> Tensor:
        return self._kind.encode(self._network, pixels)

    def decode(self, codes: Tensor) -> Tensor:
        """Raises BadInput for Chameleon: transformers has no decoder of it."""
        if self._kind.decode is None:
            raise BadInput(
                f"{self._kind.network}: has no decoder in transformers",
                cure="name Meta's vqgan.ckpt with `kind: taming`, which has one",
            )
        return self._kind.decode(self._network, codes)


def _wanted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if found:
            return found
    return tensors
