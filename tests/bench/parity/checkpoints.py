"""Checkpoints with random weights that any process draws again from the names and shapes of their tensors.

    files = {"last.ckpt": {"keys": ["state_dict"], "shapes": {"conv.weight": [8, 3, 3, 3], "conv.bias": [8]}}}
    write(folder, files)                                # folder/last.ckpt: {"state_dict": {"conv.weight": …}}

The standard deviation is that which keeps the size of activations, so that codes differ from place to place.
"""

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor


class File(TypedDict):
    keys: list[str]  # under which the state dict lies
    shapes: dict[str, list[int]]
    shared: NotRequired[str]  # tensors whose names differ in this alone are one and the same
    entries_std: NotRequired[float]  # of the codebook, where 1 is not about that of the latents


def write(folder: Path, files: Mapping[str, File], config: dict[str, Any] | None = None) -> None:
    """Write each file as its suffix says, with config.json beside them where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        document: Any = filled(file)
        if name.endswith(".safetensors"):
            save_file(document, folder / name)
            continue
        for key in reversed(file["keys"]):
            document = {key: document}
        torch.save(document, folder / name)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def path_of(files: Mapping[str, File], config: dict[str, Any] | None) -> str:
    """What a recipe's `path` says of files that were written to `model/`: one file, or their folder."""
    return "model" if config or len(files) > 1 else f"model/{next(iter(files))}"


def filled(file: File) -> dict[str, Tensor]:
    drawn = {}
    for name, shape in file["shapes"].items():
        seed = re.sub(file.get("shared", r"(?!)"), "", name)
        values = torch.from_numpy(np.asarray(_drawn(seed, name, tuple(shape))))
        is_codebook = name.endswith(("embedding.weight", "quantize_t.embed"))
        drawn[name] = values * file.get("entries_std", 1.0) if is_codebook else values
    return drawn


def _drawn(seed: str, name: str, shape: tuple[int, ...]) -> Any:
    # RandomState's stream is frozen for all time; that of default_rng may change with a release of NumPy.
    values = np.asarray(np.random.RandomState(zlib.crc32(seed.encode())).standard_normal(shape), np.float32)
    if name.endswith("running_var"):
        return abs(values) + np.float32(0.5)
    if len(shape) <= 3 and any(part in name for part in ("embedding", "codebooks", "token", "quantize_t.embed")):
        return values
    if len(shape) > 1:
        return values / np.float32(np.prod(shape[1:]) ** 0.5)
    return values * np.float32(0.1) + np.float32(name.endswith(("weight", "gamma")))
