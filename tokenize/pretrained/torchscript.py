"""`kind: torchscript`: a pair of TorchScript files, `encoder.jit` and `decoder.jit`, such as those of Cosmos.

The encoder gives the codes, alone or first of several results. A traced file takes the size it was traced for.
"""

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...manifests.errors import BadInput
from .network import HALF, Converted, Tensors, release

_NAMES = {"encoder": ("encoder.jit", "encoder.pt"), "decoder": ("decoder.jit", "decoder.pt")}


def convert(path: Path, codebook: int) -> Converted:
    """The files' bytes travel as tensors. Raises BadInput when one is missing, or is no TorchScript."""
    tensors, files = {}, []
    for role, names in _NAMES.items():
        file = next((path / name for name in names if (path / name).is_file()), None)
        if file is None:
            raise BadInput(f"{path}: has no {names[0]}", cure="name the folder that holds encoder.jit and decoder.jit")
        files.append(file)
        data = file.read_bytes()
        _opened(data, str(file))
        tensors[role] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return Converted(tensors, {}, codebook, HALF, release(torch), tuple(files), path.name)


def build(model: dict[str, Any], tensors: Tensors) -> "TorchScriptVQ":
    return TorchScriptVQ(*(_opened(tensors[role].numpy().tobytes(), role) for role in _NAMES))


class TorchScriptVQ(nn.Module):
    def __init__(self, encoder: Any, decoder: Any) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, pixels: Tensor) -> Tensor:
        result = self.encoder(pixels)
        codes: Tensor = result[0] if isinstance(result, tuple | list) else result
        return codes.long()

    def decode(self, codes: Tensor) -> Tensor:
        result = self.decoder(codes)
        pixels: Tensor = result[0] if isinstance(result, tuple | list) else result
        return pixels


def _opened(data: bytes, where: str) -> Any:
    try:
        return torch.jit.load(io.BytesIO(data), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise BadInput(f"{where}: no TorchScript ({str(error).splitlines()[0][:120]})", cure="get it again") from None
