"""`kind: python`: a class of the user's own, as `python: my_vq:MyVQ` names it, with the file of its weights.

    class MyVQ(torch.nn.Module):
        codebook = 4096                                    # and `codebooks`, `scales` where there are several
        mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)       # of the pixels; these are the default: −1 … 1
        def __init__(self, tensors): …                     # those of the file `path:` names
        def encode(self, pixels): …                        # float (B, 3, H, W) → int64 (B, h, w) or (B, n)
        def decode(self, codes): …                         # and back; without it nothing is measured or shown

The module is imported by its name, so workers must be able to find it; the hash of its source is part of the identity.
A class that is no `torch.nn.Module` runs on CPUs only.
"""

import hashlib
import importlib
import inspect
from pathlib import Path
from typing import Any

import torch

from ...manifests.errors import BadInput, CheckFailed
from .checkpoint import read_tensors, weight_files
from .network import HALF, Converted, Network, Tensors, release


def convert(path: Path | None, name: str) -> Converted:
    """Raises BadInput when there is no such class, or when it lacks what it must have."""
    found = _class(name)
    lacking = [each for each in ("codebook", "encode") if not hasattr(found, each)]
    if lacking:
        raise BadInput(f"{name}: has no {', '.join(lacking)}", cure="see tokenize/pretrained/python_class.py")
    return Converted(
        tensors=read_tensors(path) if path else {},
        model={"class": name, "source_sha256": _source_hash(found)},
        codebook=int(found.codebook),
        normalisation=(tuple(getattr(found, "mean", HALF[0])), tuple(getattr(found, "std", HALF[1]))),
        library=release(torch),
        files=tuple(weight_files(path)) if path else (),
        name=name,
        codebooks=int(getattr(found, "codebooks", 1)),
        scales=(tuple(found.scales),) if hasattr(found, "scales") else (),
        decodes=hasattr(found, "decode"),
    )


def build(model: dict[str, Any], tensors: Tensors) -> Network:
    """Raises CheckFailed when the source of the class is another one now."""
    found = _class(model["class"])
    if _source_hash(found) != model["source_sha256"]:
        raise CheckFailed(f"{model['class']}: its source has changed since the codes were made", cure="restore it")
    network: Network = found(tensors)
    return network


def _class(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        cure = "set PYTHONPATH so that it can be imported" if colon else "write module:Class"
        raise BadInput(f"python: {name}: {error}", cure=cure) from None


def _source_hash(found: Any) -> str:
    source = inspect.getsource(inspect.getmodule(found) or found)
    return "sha256:" + hashlib.sha256(source.encode()).hexdigest()
