"""`tuwen tokenizer convert`: the tensors of a checkpoint as safetensors, whatever else the file holds.

    converted = convert_checkpoint(file, out=folder / "last.safetensors")
    converted.left_out          # ["callbacks: lightning.…ModelCheckpoint", "optimizer_states: 312 tensors"]

Nothing in the file is run (see `inert_pickle`). A state dict is taken from where trainers put it; a pickled module
gives the tensors of its parameters and buffers by their names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from ...manifests.atomic import whole_file
from ...manifests.errors import BadInput
from .inert_pickle import Inert, read_inert

_STATE_DICTS = ("state_dict", "ema", "model", "module", "vae")  # the first that a checkpoint has is taken


@dataclass(frozen=True)
class Converted:
    taken: str  # the key that the tensors were under; empty: the file itself
    tensors: int
    left_out: list[str]


def convert_checkpoint(file: Path, out: Path, key: str | None = None) -> Converted:
    """`key` names what is taken from the file. Raises BadInput when there are no tensors in it."""
    if not file.is_file():
        raise BadInput(f"{file}: there is no such file", cure="name a .ckpt, .pt, .pth, .bin or .pkl")
    document = read_inert(file)
    taken = key if key is not None else _place(document)
    tensors = dict(_named(_state(document).get(taken) if taken else document))
    if not tensors:
        held = ", ".join(str(name) for name in _state(document)) or type(document).__name__
        raise BadInput(f"{file}: no tensors under `{taken}`; it has {held}", cure="name one with --key")
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as temporary:
        # Copies: tensors of one storage, or parts of a larger one, are no whole tensors to safetensors.
        save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, temporary)
    return Converted(taken, len(tensors), list(_left_out(document, taken)))


def _place(document: Any) -> str:
    """The key of the state dict; empty when the document itself has tensors, or is a module."""
    state = _state(document)
    if isinstance(document, Inert) or any(isinstance(value, Tensor) for value in state.values()):
        return ""
    known = [name for name in _STATE_DICTS if dict(_named(state.get(name)))]
    others = [str(name) for name, value in state.items() if dict(_named(value))]
    return next(iter([*known, *others]), "")


def _named(value: Any, prefix: str = "", inside: tuple[int, ...] = ()) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a state dict, or of a module's parameters, buffers and children. Objects may hold each other."""
    state = _state(value)
    if id(value) in inside:
        return
    inside = (*inside, id(value))
    if isinstance(value, Inert) and "_modules" in state:
        for group in ("_parameters", "_buffers", "_modules"):
            yield from _named(state.get(group), prefix, inside)
    else:
        for name, each in state.items():
            if isinstance(each, Tensor):
                yield f"{prefix}{name}", each
            else:
                yield from _named(each, f"{prefix}{name}.", inside)


def _left_out(document: Any, taken: str) -> Iterator[str]:
    if isinstance(document, Inert):
        yield f"the class {document.name}"
    for name, value in _state(document).items():
        if taken and name != taken:
            yield f"{name}: {_described(value)}"
    held = _state(document).get(taken) if taken else document
    if not (isinstance(held, Inert) and "_modules" in _state(held)):
        for name, value in _state(held).items():
            if not isinstance(value, Tensor) and not dict(_named(value)):
                yield f"{f'{taken}.' if taken else ''}{name}: {_described(value)}"


def _described(value: Any) -> str:
    tensors = len(dict(_named(value)))
    if tensors:
        return f"{tensors:,} tensors"
    return value.name if isinstance(value, Inert) else f"{type(value).__name__} {value!r}"[:60]


def _state(value: Any) -> dict[Any, Any]:
    found = value.__dict__["state"] if isinstance(value, Inert) else value
    return found if isinstance(found, dict) else {}
