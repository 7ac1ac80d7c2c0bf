"""A pretrained tokenizer by the contract of `image_codes`, and its two files, whatever its library.

    image_codes = open_pretrained(weights, config)        # paths of weights.safetensors and config.json

The two files hold all that encoding depends on, so shards carry them along. Encoding is float32 in fixed batches that
are always full: codes of a picture depend neither on its neighbours nor on their number.
"""

import hashlib
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ...manifests.atomic import whole_file
from ...manifests.canonical import canonical_json, sha256_of
from ...manifests.errors import BadInput
from ..image_codes import Codes, ImageTokenizerIdentity, Pictures
from .network import Converted, Network


class PretrainedConfig(BaseModel):
    """config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: str
    side_px: int
    grid: tuple[int, int]  # (h, w)
    codebook: int
    mean: tuple[str, str, str]  # of RGB in 0 … 1; decimals, as canonical JSON has no floats
    std: tuple[str, str, str]
    resize: str  # the filter of the crop
    batch: int  # pictures that are encoded at a time
    license: str
    library: str
    model: dict[str, Any]  # what the adapter's `build` takes; floats as decimals


class PretrainedCodes:
    def __init__(self, network: Network, config: PretrainedConfig, identity: ImageTokenizerIdentity) -> None:
        self._network, self._config, self.identity = network, config, identity
        self._mean = torch.tensor([float(value) for value in config.mean]).view(3, 1, 1)
        self._std = torch.tensor([float(value) for value in config.std]).view(3, 1, 1)

    @torch.no_grad()
    def encode(self, pictures: Pictures) -> Codes:
        pixels = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - self._mean) / self._std
        return _in_full_batches(pixels, self._network.encode, self._config.batch).numpy()

    @torch.no_grad()
    def decode(self, codes: Codes) -> Pictures:
        pixels = _in_full_batches(torch.from_numpy(codes.astype(np.int64)), self._network.decode, self._config.batch)
        pictures = ((pixels * self._std + self._mean).clamp(0, 1) * 255).round().to(torch.uint8)
        return pictures.permute(0, 2, 3, 1).numpy()


def write_pretrained(
    converted: Converted, kind: str, side_px: int, resize: str, batch: int, license_: str, weights: Path, config: Path
) -> None:
    """Raises BadInput when the network cannot encode pictures of that size."""
    model = _with_decimals(converted.model)
    network = adapter(kind).build(_with_floats(model), converted.tensors)
    mean, std = ((repr(red), repr(green), repr(blue)) for red, green, blue in converted.normalisation)
    document = PretrainedConfig(
        kind=kind, name=converted.name or kind, side_px=side_px, grid=_grid(network, side_px, kind),
        codebook=converted.codebook, mean=mean, std=std, resize=resize, batch=batch, license=license_,
        library=converted.library, model=model,
    )  # fmt: skip
    with whole_file(weights) as temporary:
        tensors = {name: tensor.contiguous().clone() for name, tensor in sorted(converted.tensors.items())}
        temporary.write_bytes(save(tensors))
    with whole_file(config) as temporary:
        temporary.write_bytes(canonical_json(document.model_dump(mode="json")) + b"\n")


def open_pretrained(weights: Path, config: Path) -> PretrainedCodes:
    """Raises BadInput when the files are not what `write_pretrained` writes."""
    try:
        document = json.loads(config.read_bytes())
        parsed = PretrainedConfig.model_validate(document)
        data = weights.read_bytes()
        tensors = load(data)
    except (OSError, ValueError, ValidationError, SafetensorError) as error:
        problem = str(error).splitlines()[0]
        raise BadInput(f"{weights.parent}: not a tokenizer ({problem})", cure="give `tuwen tokenize` again") from None
    identity = ImageTokenizerIdentity(
        name=parsed.name,
        sha256="sha256:" + hashlib.sha256(data).hexdigest(),
        config_sha256=sha256_of(document),
        codebook=parsed.codebook,
        grid=parsed.grid,
        side_px=parsed.side_px,
        compute_dtype="float32",
        kind=parsed.kind,
        library=parsed.library,
        resize=parsed.resize,
    )
    return PretrainedCodes(adapter(parsed.kind).build(_with_floats(parsed.model), tensors), parsed, identity)


# Kind → the module of this room that knows it. A module is imported when it is needed: each needs a library.
ADAPTERS = {
    "diffusers": "diffusers_vq",
    "transformers": "transformers_vq",
    "taming": "vqgan",
    "llamagen": "vqgan",
    "torchscript": "torchscript",
    "cogview": "cogview_vq",
    "python": "python_class",
}


def adapter(kind: str) -> Any:
    """The module of a kind. Raises BadInput when its library is not installed."""
    try:
        return import_module(f".{ADAPTERS[kind]}", __package__)
    except ModuleNotFoundError as error:
        raise BadInput(
            f"kind: {kind} needs {error.name}", cure="pip install -c constraints.txt -e '.[pretrained]'"
        ) from None


def pretrained_modules(kind: str) -> tuple[str, ...]:
    """The files of tuwen that encoding by this kind depends on besides those of every tokenizer."""
    if kind not in ADAPTERS:
        return ()
    return ("tokenize/pretrained/pretrained_codes.py", f"tokenize/pretrained/{ADAPTERS[kind]}.py")


def _in_full_batches(rows: Tensor, function: Callable[[Tensor], Tensor], batch: int) -> Tensor:
    results = []
    for chunk in torch.split(rows, batch):
        filled = torch.cat([chunk, chunk.new_zeros(batch - len(chunk), *chunk.shape[1:])])
        results.append(function(filled)[: len(chunk)])
    return torch.cat(results)


@torch.no_grad()
def _grid(network: Network, side_px: int, kind: str) -> tuple[int, int]:
    """The grid of codes of a picture of that size, from one that is black."""
    try:
        codes = network.encode(torch.zeros(1, 3, side_px, side_px))
    except (RuntimeError, ValueError) as error:
        problem = " ".join(str(error).split())[:160]
        raise BadInput(f"{kind}: cannot encode {side_px} px ({problem})", cure="correct `size`") from None
    if codes.ndim != 3 or side_px % codes.shape[1] or side_px % codes.shape[2]:
        raise BadInput(
            f"{kind}: {side_px} px become codes of {tuple(codes.shape[1:])}, no grid that divides the picture",
            cure="correct `size`",
        )
    return int(codes.shape[1]), int(codes.shape[2])


def _with_decimals(value: Any) -> Any:
    """Floats as {"float": "0.18215"}: canonical JSON has none."""
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, dict):
        return {name: _with_decimals(each) for name, each in value.items()}
    return [_with_decimals(each) for each in value] if isinstance(value, list | tuple) else value


def _with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"]) if value.keys() == {"float"} else {n: _with_floats(v) for n, v in value.items()}
    return [_with_floats(each) for each in value] if isinstance(value, list) else value
