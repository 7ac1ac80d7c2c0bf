"""One rank of a training, in a process of its own; `given` is set by the process that starts it."""

import faulthandler
import signal
import sys
from pathlib import Path
from threading import Event

from tuwen.manifests.errors import TuwenError
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import TrainFolder
from tuwen.train.ranks.ranks import joined
from tuwen.train.training.declared_run import DeclaredRun
from tuwen.train.training.loop import train_declared
from tuwen.train.training.process import Process


def run_rank(url: str, recipe: Recipe, shards: Path, folder: Path, said: Path) -> None:
    sys.stderr = said.open("w", buffering=1)
    faulthandler.dump_traceback_later(280, file=sys.stderr)
    stop = Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    try:
        with joined(url) as ranks:
            print("met", file=sys.stderr)
            declared = DeclaredRun.of_recipe(recipe, load_manifest(shards, "shards"))
            train_declared(declared, TrainFolder(folder), Process(ranks, stop))
    except TuwenError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "one_rank":
    run_rank(*globals()["given"])
