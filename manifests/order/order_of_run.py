"""What a training run read, as its run.json has it: the shards, the seed, the batch and the shuffle.

    read = order_of_run("runs/emoji")                      # a run's folder, its `train` or its `shards`
    read = order_of_run("s3://bucket/shards", run=Path("runs/emoji"))
    read.seed, read.batch, read.shuffle                    # None where there is no run

`train` writes run.json; here it is read as JSON, because this room imports no other.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..manifest import FILE_NAME, Manifest, load_manifest
from ..run_folders import RunFolder, TrainFolder
from .shuffle import Shuffle


@dataclass(frozen=True)
class OrderOfRun:
    shards: Manifest
    seed: int | None = None
    batch: int | None = None  # global: samples a step
    shuffle: Shuffle | None = None


def order_of_run(location: str, run: Path | None = None) -> OrderOfRun:
    """`location` is a manifest of shards, or the folder of a run; `run` a run that has read them.

    Raises BadInput when there is no run in `run`, or one of other shards.
    """
    path = Path(location)
    is_of_run = "://" not in location and path.is_dir() and not (path / FILE_NAME).is_file()
    if "://" not in location and TrainFolder(path).document.is_file():
        path, is_of_run = path.parent, True
    shards = load_manifest(RunFolder(path).shards.path if is_of_run else location, "shards")
    document = _document(path if is_of_run else path.parent)
    if run is not None:
        document = _document(run)
        if document is None:
            raise BadInput(f"{run}: no training run there", cure="name the folder that `tuwen train` wrote")
        if document["shards"] != shards.id:
            raise BadInput(f"{run}: has read other shards than {shards.base}", cure="name its own, or another --run")
    if document is None or document["shards"] != shards.id:
        return OrderOfRun(shards)
    settings = document["settings"]
    return OrderOfRun(shards, settings["seed"], settings["batch"], Shuffle.model_validate(settings["shuffle"]))


def _document(run: Path) -> Any:
    """The run.json of a run's folder, or of its `train`; None if there is none."""
    for folder in (TrainFolder(run), RunFolder(run).train):
        if folder.document.is_file():
            return json.loads(folder.document.read_bytes())
    return None
