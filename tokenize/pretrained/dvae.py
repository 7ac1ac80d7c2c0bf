"""`kind: dvae`: the discrete VAE of DALL-E (Ramesh et al. 2021), 8,192 codes, 8 px a code.

`path` is a folder with the encoder and the decoder. OpenAI's encoder.pkl and decoder.pkl are whole pickled modules:
`tuwen tokenizer convert encoder.pkl` takes their tensors. The network is stated here from the package `dall-e`, which
was last released in 2021. Pixels 0 … 1 become 0.1 … 0.9; the decoder gives logits of these.
"""

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
        gain = 1 / (4 * blocks) ** 2
        self.encoder = _holding(
            blocks=_holding(
                input=_Conv(3, width, 7),
                **_groups(width, widths, blocks, gain, (3, 3, 3, 1)),
                output=_holding(conv=_Conv(widths[-1], codebook, 1)),
            )
        )
        self.decoder = _holding(
            blocks=_holding(
                input=_Conv(codebook, decoder_first, 1),
                **_groups(decoder_first, widths[::-1], blocks, gain, (1, 3, 3, 3)),
                output=_holding(conv=_Conv(width, 6, 1)),  # means and scales of three colours
            )
        )

    def encode(self, pixels: Tensor) -> Tensor:
        logits = _through(self.encoder["blocks"], (1 - 2 * _EDGE) * pixels + _EDGE, lambda x: F.max_pool2d(x, 2))
        return logits.float().argmax(1)

    def decode(self, codes: Tensor) -> Tensor:
        blocks: Any = self.decoder["blocks"]
        one_hot = F.one_hot(codes, blocks["input"].w.shape[1]).permute(0, 3, 1, 2).float()
        logits = _through(blocks, one_hot, lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return ((torch.sigmoid(logits[:, :3]) - _EDGE) / (1 - 2 * _EDGE)).clamp(0, 1)


def _through(blocks: Any, hidden: Tensor, resized: Any) -> Tensor:
    hidden = blocks["input"](hidden)
    for number in range(1, 5):
        for block in blocks[f"group_{number}"].values():
            hidden = block(hidden)
        hidden = resized(hidden) if number < 4 else hidden
    result: Tensor = blocks["output"]["conv"](F.relu(hidden))
    return result


def _groups(first: int, widths: list[int], blocks: int, gain: float, kernels: tuple[int, ...]) -> dict[str, nn.Module]:
    return {
        f"group_{number + 1}": _holding(
            **{
                f"block_{block + 1}": _Block(before if block == 0 else width, width, gain, kernels)
                for block in range(blocks)
            }
        )
        for number, (before, width) in enumerate(zip([first, *widths], widths, strict=False))
    }


class _Block(nn.Module):
    def __init__(self, width: int, out: int, gain: float, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self._gain, hidden = gain, out // 4
        self.id_path: nn.Module = _Conv(width, out, 1) if width != out else nn.Identity()
        self.res_path = _holding(
            **{
                f"conv_{number + 1}": _Conv(width if number == 0 else hidden, out if number == 3 else hidden, kernel)
                for number, kernel in enumerate(kernels)
            }
        )

    def forward(self, hidden: Tensor) -> Tensor:
        change = hidden
        for conv in self.res_path.values():
            change = conv(F.relu(change))
        result: Tensor = self.id_path(hidden) + self._gain * change
        return result


class _Conv(nn.Module):
    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.empty(out, channels, kernel, kernel))
        self.b = nn.Parameter(torch.empty(out))

    def forward(self, hidden: Tensor) -> Tensor:
        return F.conv2d(hidden, self.w, self.b, padding=self.w.shape[-1] // 2)


def _holding(**modules: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict(modules)


def _file(path: Path, half: str) -> Path:
    for suffix in _SUFFIXES:
        if (path / f"{half}{suffix}").is_file():
            return path / f"{half}{suffix}"
    raise BadInput(f"{path}: has no {half}.safetensors", cure="name the folder that holds encoder and decoder")
