"""`kind: dvae`: the discrete VAE of DALL-E (Ramesh et al. 2021), 8,192 codes, 8 px a code.

`path` is a folder with the encoder and the decoder. OpenAI's encoder.pkl and decoder.pkl are whole pickled modules:
`tuwen tokenizer convert encoder.pkl` takes their tensors. The network is stated here from the package `dall-e`, which
was last released in 2021. Pixels 0 … 1 become 0.1 … 0.9; the decoder gives logits of these.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...manifests.errors import BadInput
from .checkpoint import missing, read_tensors
from .network import UNIT, Converted, Tensors, loaded, release
from .vqgan import count

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".pkl")
_EDGE = 0.1  # of the range that pixels are mapped into, on either side


def convert(path: Path) -> Converted:
    """Raises BadInput when one half is missing, or is not the dVAE's."""
    files = [_file(path, half) for half in ("encoder", "decoder")]
    tensors = {
        f"{half}.{name}": value.float()
        for half, file in zip(("encoder", "decoder"), files, strict=True)
        for name, value in read_tensors(file, "state_dict").items()
    }
    try:
        codebook = tensors["encoder.blocks.output.conv.w"].shape[0]
        model = {
            "codebook": codebook,
            "width": tensors["encoder.blocks.input.w"].shape[0],
            "decoder_first": tensors["decoder.blocks.input.w"].shape[0],
            "blocks": count(tensors, r"encoder\.blocks\.group_1\.block_(\d+)\.") - 1,
        }
    except KeyError as error:
        raise missing(path, error, "DALL-E's dVAE") from None
    return Converted(
        tensors=tensors,
        model=model,
        codebook=codebook,
        normalisation=UNIT,
        library=release(torch),
        files=tuple(files),
        name="dall-e",
    )


def build(model: dict[str, Any], tensors: Tensors) -> "DiscreteVAE":
    return loaded(DiscreteVAE(**model), tensors, "DALL-E's dVAE")


class DiscreteVAE(nn.Module):
    def __init__(self, codebook: int, width: int, decoder_first: int, blocks: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.codebook = codebook
        self.encoder = _Half(_Conv(3, width, 7), widths, blocks, (3, 3, 3, 1), nn.MaxPool2d(2), codebook)
        upsample, colours = nn.Upsample(scale_factor=2, mode="nearest"), 2 * 3  # a mean and a scale of each
        first = _Conv(codebook, decoder_first, 1)
        self.decoder = _Half(first, widths[::-1], blocks, (1, 3, 3, 3), upsample, colours)

    def encode(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.encoder.blocks((1 - 2 * _EDGE) * pixels + _EDGE)
        return logits.float().argmax(1)

    def decode(self, codes: Tensor) -> Tensor:
        logits: Tensor = self.decoder.blocks(F.one_hot(codes, self.codebook).permute(0, 3, 1, 2).float())
        return ((torch.sigmoid(logits[:, :3]) - _EDGE) / (1 - 2 * _EDGE)).clamp(0, 1)


class _Half(nn.Module):
    """Four groups of blocks, with `resize` between them."""

    def __init__(
        self, first: "_Conv", widths: list[int], blocks: int, kernels: tuple[int, ...], resize: nn.Module, out: int
    ) -> None:
        super().__init__()
        parts: dict[str, nn.Module] = {"input": first}
        width, gain = first.w.shape[0], 1 / (len(widths) * blocks) ** 2
        for number, group_width in enumerate(widths, 1):
            group: dict[str, nn.Module] = {}
            for block in range(1, blocks + 1):
                group[f"block_{block}"] = _Block(width, group_width, gain, kernels)
                width = group_width
            if number < len(widths):
                group["resize"] = resize
            parts[f"group_{number}"] = _chain(group)
        parts["output"] = _chain({"relu": nn.ReLU(), "conv": _Conv(width, out, 1)})
        self.blocks = _chain(parts)


class _Block(nn.Module):
    def __init__(self, width: int, out: int, gain: float, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self._gain = gain
        self.id_path: nn.Module = _Conv(width, out, 1) if width != out else nn.Identity()
        channels = [width, *[out // 4] * (len(kernels) - 1), out]
        path: dict[str, nn.Module] = {}
        for number, kernel in enumerate(kernels):
            path[f"relu_{number + 1}"] = nn.ReLU()
            path[f"conv_{number + 1}"] = _Conv(channels[number], channels[number + 1], kernel)
        self.res_path = _chain(path)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.id_path(hidden) + self._gain * self.res_path(hidden)
        return result


class _Conv(nn.Module):
    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.empty(out, channels, kernel, kernel))
        self.b = nn.Parameter(torch.empty(out))

    def forward(self, hidden: Tensor) -> Tensor:
        return F.conv2d(hidden, self.w, self.b, padding=self.w.shape[-1] // 2)


def _chain(modules: dict[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))


def _file(path: Path, half: str) -> Path:
    for suffix in _SUFFIXES:
        if (path / f"{half}{suffix}").is_file():
            return path / f"{half}{suffix}"
    raise BadInput(f"{path}: has no {half}.safetensors", cure="name the folder that holds encoder and decoder")
