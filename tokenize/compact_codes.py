"""The folder of a compact VQ ↔ the contract of `image_codes`.

    save_compact_vq(folder, model)                 # weights.safetensors, config.json
    image_codes = open_compact_vq(folder)

Weights are stored as float16, which the trainer has rounded them to, and used as float32: on any machine, since
codes go into data sets. The thread count is the caller's; one thread and two may differ in the last bit, so
stages set one.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..manifests.atomic import whole_file
from ..manifests.canonical import canonical_json, sha256_of
from ..manifests.errors import BadInput
from ..manifests.run_folders import ImageTokenizerFolder
from .compact_vq import PATCH_PX, CompactVQ, CompactVQConfig
from .image_codes import Codes, ImageTokenizerIdentity, Pictures

SIDE_PX = 64


class CompactCodes:
    def __init__(self, model: CompactVQ, identity: ImageTokenizerIdentity) -> None:
        self.model, self.identity = model.eval(), identity

    def encode(self, pictures: Pictures) -> Codes:
        batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255  # (B, 3, side, side)
        return self.model.encode(batch).numpy()

    def decode(self, codes: Codes) -> Pictures:
        pictures = self.model.decode(torch.from_numpy(codes.astype(np.int64)))  # (B, 3, side, side) in 0..1
        return (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def save_compact_vq(folder: Path, model: CompactVQ) -> None:
    tensors = {name: tensor.detach().cpu().half().contiguous() for name, tensor in model.state_dict().items()}
    with whole_file(ImageTokenizerFolder(folder).weights) as temporary:
        temporary.write_bytes(save(tensors))
    with whole_file(ImageTokenizerFolder(folder).config) as temporary:
        temporary.write_bytes(canonical_json(_config_document(model.config)) + b"\n")


def open_compact_vq(folder: Path) -> CompactCodes:
    """Raises BadInput when the folder does not hold what `save_compact_vq` writes."""
    try:
        document = json.loads((ImageTokenizerFolder(folder).config).read_bytes())
        weights = (ImageTokenizerFolder(folder).weights).read_bytes()
        config = CompactVQConfig.model_validate(document["model"])
        model = CompactVQ(config)
        model.load_state_dict(load(weights))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        problem = str(error).splitlines()[0]
        raise BadInput(
            f"{folder}: not a compact tokenizer ({problem})", cure="name a folder that `tuwen tokenizer` left"
        ) from None
    identity = ImageTokenizerIdentity(
        name=document["name"],
        sha256="sha256:" + hashlib.sha256(weights).hexdigest(),
        config_sha256=sha256_of(document),
        codebook=config.codebook_size,
        grid=(SIDE_PX // PATCH_PX, SIDE_PX // PATCH_PX),
        side_px=SIDE_PX,
        compute_dtype="float32",
    )
    return CompactCodes(model, identity)


def _config_document(config: CompactVQConfig) -> dict[str, object]:
    return {"name": f"compact-{SIDE_PX}", "side_px": SIDE_PX, "model": config.model_dump()}
