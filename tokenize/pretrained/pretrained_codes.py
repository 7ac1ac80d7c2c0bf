"""A pretrained tokenizer by the contract of `image_codes`, whatever its library.

    image_codes = open_pretrained(weights, config)               # paths of weights.safetensors and config.json
    image_codes = open_pretrained(weights, config, "cuda")

The two files hold all that encoding depends on, so shards carry them along. Encoding runs in fixed batches that are
always full: codes of a picture depend neither on its neighbours nor on their number. Decoding is float32 throughout,
since some decoders overflow in float16 (aMUSEd's).
"""

import hashlib
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ...manifests.canonical import sha256_of
from ...manifests.errors import BadInput
from ..devices import computing, open_device
from ..image_codes import Codes, ImageTokenizerIdentity, Pictures
from .network import Network
from .pretrained_config import PretrainedConfig, with_floats


class PretrainedCodes:
    def __init__(self, network: Network, config: PretrainedConfig, identity: ImageTokenizerIdentity) -> None:
        self._config, self.identity, self.batch = config, identity, config.batch
        self._device = open_device(identity.device)
        self._network = _placed(network, config, self._device)
        self._encode = torch.compile(self._network.encode) if config.compile else self._network.encode
        # Tensors, not numbers: CUDA would multiply by the reciprocal of a number, which gives other bits than the CPU.
        self._full = torch.tensor(255.0, device=self._device)
        self._mean, self._std = (
            torch.tensor([float(value) for value in values], device=self._device).view(3, 1, 1)
            for values in (config.mean, config.std)
        )

    @torch.inference_mode()
    def encode(self, pictures: Pictures) -> Codes:
        return _in_full_batches(torch.from_numpy(pictures), self._codes, self._config.batch).numpy()

    @torch.inference_mode()
    def decode(self, codes: Codes) -> Pictures:
        """Raises BadInput where the library has no decoder."""
        if not self.identity.decodes:
            cure = "take the kind that has one for its codes: see tokenize/pretrained/README.md"
            raise BadInput(f"{self.identity.name}: has no decoder", cure=cure)
        return _in_full_batches(torch.from_numpy(codes.astype(np.int64)), self._pictures, self._config.batch).numpy()

    def _codes(self, pictures: Tensor) -> Tensor:
        """uint8 (batch, H, W, 3) → int64 (batch, *shape); both on the CPU."""
        unit = pictures.to(self._device).permute(0, 3, 1, 2).float() / self._full  # (batch, 3, H, W)
        layout = torch.channels_last if self._config.channels_last else torch.contiguous_format
        pixels = ((unit - self._mean) / self._std).contiguous(memory_format=layout)
        with computing(self._device, self._config.precision):
            return self._encode(pixels).cpu()

    def _pictures(self, codes: Tensor) -> Tensor:
        """int64 (batch, *shape) → uint8 (batch, H, W, 3); both on the CPU."""
        unit = self._network.decode(codes.to(self._device)).float() * self._std + self._mean
        return (unit.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()


def open_pretrained(weights: Path, config: Path, device: str = "cpu") -> PretrainedCodes:
    """`device` is cpu or cuda. Raises BadInput when the files are not what `write_pretrained` writes."""
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
        codebooks=parsed.codebooks,
        scales=parsed.scales,
        decodes=parsed.decodes,
        side_px=parsed.side_px,
        compute_dtype=parsed.precision,
        kind=parsed.kind,
        device=device,
        library=parsed.library,
        resize=parsed.resize,
        license=parsed.license,
        normalisation=(*parsed.mean, *parsed.std),
        options=tuple(name for name in ("compile", "channels_last") if getattr(parsed, name)),
    )
    del data  # a gigabyte, now and then
    return PretrainedCodes(adapter(parsed.kind).build(with_floats(parsed.model), tensors), parsed, identity)


# Kind → the module of this room that knows it. A module is imported when it is needed: each needs a library.
ADAPTERS = {
    "diffusers": "diffusers_vq",
    "transformers": "transformers_vq",
    "taming": "taming",
    "llamagen": "llamagen",
    "ibq": "ibq",
    "open-magvit2": "open_magvit2",
    "rqvae": "rqvae",
    "var": "var",
    "maskgit-vqgan": "maskgit_vqgan",
    "titok": "titok",
    "dvae": "dvae",
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


def _placed(network: Network, config: PretrainedConfig, device: torch.device) -> Network:
    """The network on its device. Raises BadInput for a class of the user's own that cannot be moved to a GPU."""
    if isinstance(network, torch.nn.Module):
        network.eval().requires_grad_(False).to(device)
        if config.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network
    if device.type != "cpu":
        raise BadInput(f"{config.name}: is no torch.nn.Module, so it runs on CPUs", cure="set `tokenize.job.gpus: 0`")
    return network


def _in_full_batches(rows: Tensor, function: Callable[[Tensor], Tensor], batch: int) -> Tensor:
    results = []
    for chunk in torch.split(rows, batch):
        filled = torch.cat([chunk, chunk.new_zeros(batch - len(chunk), *chunk.shape[1:])])
        results.append(function(filled)[: len(chunk)])
    return torch.cat(results)
