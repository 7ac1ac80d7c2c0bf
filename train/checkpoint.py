"""Everything that training needs to go on bit for bit: weights, optimizer, stream position and step, in one file.

    save_checkpoint(path, Checkpoint(step=200, model=…, optimizer=…, stream=…))
    checkpoint = load_checkpoint(path)          # None if there is none yet

No random state is stored: a step draws nothing, and the order of the rows is a function of the position.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..manifests.atomic import whole_file
from ..manifests.errors import CheckFailed


@dataclass(frozen=True)
class Checkpoint:
    step: int  # steps done
    model: dict[str, Any]
    optimizer: dict[str, Any]
    stream: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    with whole_file(path) as temporary, temporary.open("wb") as file:
        torch.save(checkpoint.__dict__, file)  # given a path, torch would write its name into the file


def load_checkpoint(path: Path) -> Checkpoint | None:
    """Raises CheckFailed on a file that is not whole."""
    if not path.is_file():
        return None
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, TypeError, KeyError, pickle.UnpicklingError):
        raise CheckFailed(f"{path}: not a whole checkpoint", cure="delete it; training then begins anew") from None
