"""The compact VQ as an image tokenizer by the contract of `image_codes`, and its two files.

    save_compact_vq(model, 64, weights, config)    # paths of weights.safetensors and config.json
    image_codes = open_compact_vq(weights, config)

Weights are stored as float16, to which the trainer has rounded them, and used as float32 on every machine, since codes
go into data sets. The caller sets the number of threads: one thread and two may differ in the last bit.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load, save

from ...manifests.atomic import whole_file
from ...manifests.canonical import canonical_json, sha256_of
from ...manifests.errors import BadInput
from ..devices import open_device
from ..image_codes import Codes, ImageTokenizerIdentity, Pictures
from .compact_vq import CHUNK, CompactVQ, CompactVQConfig


class CompactCodes:
    batch = CHUNK

    def __init__(self, model: CompactVQ, identity: ImageTokenizerIdentity) -> None:
        self._device = open_device(identity.device)
        self.model, self.identity = model.eval().to(self._device), identity
        # A tensor, not a number: CUDA would multiply by its reciprocal, which gives other bits than the CPU.
        self._full = torch.tensor(255.0, device=self._device)

    def encode(self, pictures: Pictures) -> Codes:
        unit = torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2).float() / self._full
        return self.model.encode(unit).cpu().numpy()  # from (B, 3, side, side)

    def decode(self, codes: Codes) -> Pictures:
        unit = self.model.decode(torch.from_numpy(codes.astype(np.int64)).to(self._device))  # (B, 3, side, side)
        return (unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


class _Config(BaseModel):
    """config.json."""

    name: str
    side_px: int = Field(ge=8)
    model: CompactVQConfig

    @model_validator(mode="after")
    def _has_whole_patches(self) -> "_Config":
        if self.side_px % self.model.patch_px:
            raise ValueError(f"patches of {self.model.patch_px} px do not divide {self.side_px} px")
        return self

    @property
    def grid(self) -> tuple[int, int]:
        return (self.side_px // self.model.patch_px,) * 2


def save_compact_vq(model: CompactVQ, side_px: int, weights: Path, config: Path) -> None:
    tensors = {name: tensor.detach().cpu().half().contiguous() for name, tensor in model.state_dict().items()}
    with whole_file(weights) as temporary:
        temporary.write_bytes(save(tensors))
    document = _Config(name=f"compact-{side_px}", side_px=side_px, model=model.config)
    with whole_file(config) as temporary:
        temporary.write_bytes(canonical_json(document.model_dump()) + b"\n")


def open_compact_vq(weights: Path, config: Path, device: str = "cpu") -> CompactCodes:
    """Return the tokenizer that `save_compact_vq` wrote, on cpu or cuda. Raises BadInput for other files."""
    try:
        document = json.loads(config.read_bytes())
        parsed = _Config.model_validate(document)
        data = weights.read_bytes()
        model = CompactVQ(parsed.model)
        model.load_state_dict(load(data))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BadInput(
            f"{weights.parent}: not a compact tokenizer ({_problem(error)})",
            cure="name a folder that `tuwen tokenizer` left",
        ) from None
    identity = ImageTokenizerIdentity(
        name=parsed.name,
        sha256="sha256:" + hashlib.sha256(data).hexdigest(),
        config_sha256=sha256_of(document),
        codebook=parsed.model.codebook_size,
        grid=parsed.grid,
        side_px=parsed.side_px,
        compute_dtype="float32",
        device=device,
    )
    return CompactCodes(model, identity)


def _problem(error: Exception) -> str:
    """One line. Pydantic's first line gives the number of errors alone."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        if first["type"] == "value_error":  # a rule of `_Config` on more than one key
            return f"config.json: {first['ctx']['error']}"
        problem = "is missing" if first["type"] == "missing" else f"cannot be {first['input']!r}"
        return f"config.json: `{'.'.join(map(str, first['loc']))}` {problem}"
    return str(error).splitlines()[0]
