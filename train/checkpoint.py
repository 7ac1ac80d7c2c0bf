"""What training needs to continue bit for bit, in one file: weights, optimizer, stream position and step.

    save_checkpoint(path, Checkpoint(step=200, model=…, optimizer=…, stream=…))
    checkpoint = load_checkpoint(path)          # None if there is none yet

The file is a safetensors file. Loading one runs no code, as loading a pickle does, and equal content gives equal bytes,
so equal runs have equal manifest ids. No random state is stored: a step draws nothing, and the order of the rows is a
function of the position.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..manifests.atomic import whole_file
from ..manifests.errors import CheckFailed
from .consumed import StreamState


@dataclass(frozen=True)
class Checkpoint:
    step: int  # steps done
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]  # the `state_dict` of a torch optimizer
    stream: StreamState


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path` by rename, so that a kill leaves the old one or the new one."""
    tensors = {f"model/{name}": tensor.contiguous() for name, tensor in checkpoint.model.items()}
    for number, state in checkpoint.optimizer["state"].items():
        tensors |= {f"optimizer/{number}/{name}": tensor.contiguous() for name, tensor in state.items()}
    header = {"step": checkpoint.step, "stream": checkpoint.stream, "groups": checkpoint.optimizer["param_groups"]}
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata={"about": json.dumps(header, sort_keys=True)})


def load_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, or None when there is no file. Raises CheckFailed when the file is damaged."""
    if not path.is_file():
        return None
    model: dict[str, torch.Tensor] = {}
    states: dict[int, dict[str, torch.Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["about"])
            for key in file.keys():  # noqa: SIM118  (safe_open is no mapping)
                kind, _, name = key.partition("/")
                if kind == "model":
                    model[name] = file.get_tensor(key)
                else:
                    number, _, field = name.partition("/")
                    states.setdefault(int(number), {})[field] = file.get_tensor(key)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        raise CheckFailed(f"{path}: not a whole checkpoint", cure="delete it; training then begins anew") from None
    return Checkpoint(header["step"], model, {"state": states, "param_groups": header["groups"]}, header["stream"])
