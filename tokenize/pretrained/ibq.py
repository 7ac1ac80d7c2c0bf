"""`kind: ibq`: IBQ of SEED-Voken (Shi et al. 2024): a VQGAN that takes the entry with the largest dot product.

Its checkpoints hold averaged weights (`model_ema.`), which the original uses for all but training; so does this.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from . import taming
from .checkpoint import averaged, read_tensors
from .network import Converted, Tensors, loaded
from .search import most_similar


def convert(path: Path) -> Converted:
    """Raises BadInput when the file is no VQGAN."""
    return taming.converted(path, averaged(read_tensors(path, "state_dict")))


def build(model: dict[str, Any], tensors: Tensors) -> "IBQ":
    return loaded(IBQ(model["shape"], model["codebook"]), tensors, "the IBQ tokenizer")


class IBQ(taming.TamingVQ):
    def search(self, latents: Tensor) -> Tensor:
        return most_similar(latents, self.entries)
