"""`kind: llamagen`: VQ-8 and VQ-16 checkpoints of LlamaGen (Sun et al. 2024), and Janus' original VQ.

Latents and entries are normalised before the nearest entry is taken. Where a checkpoint has averaged weights (`ema`),
they are taken, as LlamaGen's own scripts do.
"""

import re
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...manifests.errors import BadInput
from . import taming
from .checkpoint import read_tensors
from .network import Converted, Tensors, loaded
from .search import nearest
from .vqgan import count

_PREFIX = "gen_vision_model."  # of the tensors in whole models of Janus


def convert(path: Path) -> Converted:
    """Raises BadInput when the file is not LlamaGen's."""
    tensors = read_tensors(path, "ema", "model", "state_dict")
    tensors = {n.removeprefix(_PREFIX): t for n, t in tensors.items() if n.startswith(_PREFIX)} or tensors
    levels = count(tensors, r"decoder\.conv_blocks\.(\d+)\.")
    if not levels:
        raise BadInput(f"{path}: has no decoder.conv_blocks, so it is not LlamaGen's", cure="correct `kind`")
    converted = taming.converted(path, {_taming_name(name, levels): value for name, value in tensors.items()})
    converted.tensors["entries"] = F.normalize(converted.tensors["entries"], dim=-1)
    return converted


def build(model: dict[str, Any], tensors: Tensors) -> "LlamaGenVQ":
    return loaded(LlamaGenVQ(model["shape"], model["codebook"]), tensors, "LlamaGen's VQ")


class LlamaGenVQ(taming.TamingVQ):
    def search(self, latents: Tensor) -> Tensor:
        return nearest(F.normalize(latents, dim=-1), self.entries)


def _taming_name(name: str, levels: int) -> str:
    """LlamaGen's names → taming's. Its decoder counts from the coarse end, taming's from the fine one."""
    name = re.sub(r"^encoder\.conv_blocks\.(\d+)\.res\.", r"encoder.down.\1.block.", name)
    name = re.sub(r"^encoder\.conv_blocks\.(\d+)\.", r"encoder.down.\1.", name)
    name = re.sub(
        r"^decoder\.conv_blocks\.(\d+)\.(res\.)?",
        lambda match: f"decoder.up.{levels - 1 - int(match[1])}.{'block.' if match[2] else ''}",
        name,
    )
    for number, block in enumerate(("block_1", "attn_1", "block_2")):
        name = name.replace(f".mid.{number}.", f".mid.{block}.")
    return name
