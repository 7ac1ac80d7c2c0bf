"""The tensors of a checkpoint, read without running any code that is in it.

    read_tensors(folder)            # its safetensors, or its .bin or .pt
    read_tensors(file, "model")     # the state dict under that key

Files of torch are read with `weights_only=True`. One that holds other classes is refused.
"""

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...manifests.errors import BadInput
from .network import Tensors

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def read_tensors(path: Path, *keys: str) -> Tensors:
    """`keys` are names under which a file may hold its state dict, the first that it has counts. Raises BadInput."""
    files = weight_files(path)
    tensors: Tensors = {}
    for file in files:
        tensors |= _of_file(file, keys)
    return tensors


def weight_files(path: Path) -> list[Path]:
    """The files of a folder that hold its weights, safetensors before all others. Raises BadInput."""
    if path.is_file():
        return [path]
    found = sorted(path.glob("*.safetensors")) or sorted(file for file in path.glob("*") if file.suffix in _PICKLES)
    if not found:
        raise BadInput(f"{path}: holds no weights; it has {_held(path)}", cure="name the folder or file of a tokenizer")
    return found


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a folder. Raises BadInput, which says what the folder holds."""
    path = folder / "config.json"
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(
            f"{folder}: has no config.json; it has {_held(folder)}", cure="name the folder that the library saved"
        ) from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}", cure="get the file again") from None
    if not isinstance(document, dict):
        raise BadInput(f"{path}: no JSON object", cure="get the file again")
    return document


def missing(path: Path, error: KeyError, what: str) -> BadInput:
    """The refusal of a checkpoint that lacks a tensor."""
    return BadInput(f"{path}: has no {error.args[0]}, so it is not {what}", cure="correct `kind`")


def averaged(tensors: Tensors) -> Tensors:
    """The tensors with their averages in the place of those that have one: `model_ema.` and the name without dots."""
    named = {name: tensors.get(f"model_ema.{name.replace('.', '')}", value) for name, value in tensors.items()}
    return {name: value for name, value in named.items() if not name.startswith("model_ema.")}


def _of_file(file: Path, keys: tuple[str, ...]) -> Tensors:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        document = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError) as error:
        raise BadInput(f"{file}: cannot be read ({' '.join(str(error).split())[:120]})", cure="get it again") from None
    except pickle.UnpicklingError:
        raise BadInput(
            f"{file}: holds more than tensors ({_foreign(file)}), which could run code when it is read",
            cure=f"take the tensors alone: tuwen tokenizer convert {file}",
        ) from None
    if not isinstance(document, dict):
        raise BadInput(f"{file}: holds a {type(document).__name__}, no state dict", cure="name another file")
    document = next((document[key] for key in keys if isinstance(document.get(key), dict)), document)
    tensors = {name: value for name, value in document.items() if isinstance(value, Tensor)}
    if not tensors:
        raise BadInput(f"{file}: holds no tensors; it has {', '.join(list(document)[:8])}", cure="name another file")
    return tensors


def _foreign(file: Path) -> str:
    """The classes in a file of torch that are no tensors."""
    try:
        return ", ".join(sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))[:5])
    except Exception:  # a pickle that torch did not write, or a damaged one
        return "a pickle that torch.save did not write"


def _held(folder: Path) -> str:
    if not folder.is_dir():
        return "nothing: it does not exist" if not folder.exists() else "no folder"
    return ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "no file"
