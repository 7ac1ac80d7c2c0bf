"""What training needs to continue bit for bit, in one file: weights, optimizers, stream position and step.

    save_checkpoint(path, Checkpoint(step=200, model=…, averaged={}, optimizers=[…], scale=…, stream=…))
    checkpoint = load_checkpoint(path)          # None if there is none yet

The file is a safetensors file. Loading one runs no code, as loading a pickle does, and equal content gives equal bytes,
so equal runs have equal manifest ids. No random state is stored: a step draws nothing, and the order of the rows is a
function of the position. Nothing in it depends on the number of ranks.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...manifests.atomic import whole_file
from ...manifests.errors import CheckFailed
from ...manifests.run_folders import TrainFolder
from ..reading.consumed import StreamState

_VERSION = 2  # 1 had one optimizer
Tensors = dict[str, torch.Tensor]


class LossScaleState(TypedDict):
    value: float
    steps: int  # since the last overflow or growth
    overflows: int  # in all


@dataclass(frozen=True)
class Checkpoint:
    step: int  # steps done
    model: Tensors
    averaged: Tensors  # the moving average of the weights; empty without one
    optimizers: list[dict[str, Any]]  # the `state_dict` of each
    scale: LossScaleState
    stream: StreamState

    @property
    def weights(self) -> Tensors:
        """The weights to sample with."""
        return self.averaged or self.model

    def tensors(self) -> Tensors:
        """All tensors by the names that they have in the file."""
        tensors = {f"model/{name}": tensor.contiguous() for name, tensor in self.model.items()}
        tensors |= {f"averaged/{name}": tensor.contiguous() for name, tensor in self.averaged.items()}
        for index, optimizer in enumerate(self.optimizers):
            for number, state in optimizer["state"].items():
                prefix = f"optimizer/{index}/{number}"
                tensors |= {f"{prefix}/{name}": tensor.contiguous() for name, tensor in state.items()}
        return tensors

    def copied(self) -> "Checkpoint":
        """A copy in the memory of the host, which further steps do not change."""
        optimizers = [
            {**each, "state": {number: _copied(state) for number, state in each["state"].items()}}
            for each in self.optimizers
        ]
        return replace(self, model=_copied(self.model), averaged=_copied(self.averaged), optimizers=optimizers)


def _copied(tensors: Tensors) -> Tensors:
    return {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path` by rename, so that a kill leaves the old one or the new one."""
    groups = [optimizer["param_groups"] for optimizer in checkpoint.optimizers]
    header = {
        "version": _VERSION, "step": checkpoint.step, "stream": checkpoint.stream, "scale": checkpoint.scale,
        "groups": groups,
    }  # fmt: skip
    with whole_file(path) as temporary:
        save_file(checkpoint.tensors(), temporary, metadata={"about": json.dumps(header, sort_keys=True)})


def load_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, or None when there is no file. Raises CheckFailed when the file is damaged."""
    if not path.is_file():
        return None
    parts: dict[str, Tensors] = {"model": {}, "averaged": {}}
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["about"])
            states: list[dict[int, Tensors]] = [defaultdict(dict) for _ in header["groups"]]
            for key in file.keys() if header.get("version") == _VERSION else []:
                kind, _, name = key.partition("/")
                if kind in parts:
                    parts[kind][name] = file.get_tensor(key)
                else:
                    index, number, field = name.split("/")
                    states[int(index)][int(number)][field] = file.get_tensor(key)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        raise CheckFailed(f"{path}: not a whole checkpoint", cure=_cure(path)) from None
    if header.get("version") != _VERSION:
        raise CheckFailed(
            f"{path}: of another version of tuwen",
            cure="use the version that wrote it, or train again in another --out",
        )
    optimizers = [
        {"state": dict(state), "param_groups": groups} for state, groups in zip(states, header["groups"], strict=True)
    ]
    return Checkpoint(header["step"], parts["model"], parts["averaged"], optimizers, header["scale"], header["stream"])


def _cure(path: Path) -> str:
    earlier = sorted(TrainFolder(path.parent).checkpoints.glob("step-*.safetensors"))[:-1]  # the last is the same file
    if not earlier:
        return "delete it; training then begins anew"
    return f"copy {earlier[-1]} over it; training then goes on from there"
