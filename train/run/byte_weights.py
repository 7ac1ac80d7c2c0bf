"""Weights of a byte each: a quarter of their size in 32 bits, and a twelfth of that of a checkpoint.

    save_byte_weights(path, model.state_dict())
    model.load_state_dict(load_byte_weights(path))

A matrix is kept as int8 and a scale for each row, whose largest absolute value becomes 127; vectors stay as they are.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ...manifests.atomic import whole_file
from ...manifests.errors import CheckFailed
from .checkpoint import Tensors

_SCALE = ".scale"


def save_byte_weights(path: Path, weights: Tensors) -> None:
    stored: Tensors = {}
    for name, weight in weights.items():
        if weight.ndim != 2:
            stored[name] = weight.contiguous()
            continue
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127  # (rows, 1)
        stored[name], stored[name + _SCALE] = (weight / scale).round().to(torch.int8), scale
    with whole_file(path) as temporary:
        save_file(stored, temporary)


def load_byte_weights(path: Path) -> Tensors:
    """The weights in 32 bits. Raises CheckFailed when the file is damaged."""
    try:
        stored = load_file(path)
    except (OSError, ValueError, SafetensorError):
        raise CheckFailed(f"{path}: cut or altered", cure="copy the folder again") from None
    names = [name for name in stored if not name.endswith(_SCALE)]
    return {name: stored[name] * stored[name + _SCALE] if name + _SCALE in stored else stored[name] for name in names}
