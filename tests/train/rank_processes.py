"""Ranks as real processes on loopback, forked from a server that has imported torch once.

started = start_ranks(4, recipe, shards.folder, folder)
assert [process.wait() for process in started] == [0, 0, 0, 0]
"""

import faulthandler
import multiprocessing
import os
import signal
import socket
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event

from tuwen.manifests.errors import TuwenError
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import TrainFolder
from tuwen.train.declared_run import DeclaredRun
from tuwen.train.loop import train_declared
from tuwen.train.process import Process
from tuwen.train.ranks import joined

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tuwen.train.loop"])


def start_ranks(count: int, recipe: Recipe, shards: Path, folder: Path) -> list[BaseProcess]:
    """Each writes what it says to `folder`.rank-N."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    urls = [f"tcp://127.0.0.1:{port}?rank={rank}&world_size={count}" for rank in range(count)]
    processes: list[BaseProcess] = []
    for rank, url in enumerate(urls):
        said = folder.with_name(f"{folder.name}.rank-{rank}")
        said.unlink(missing_ok=True)
        process = _SERVER.Process(target=_rank, args=(url, recipe, shards, folder, said), daemon=True)
        process.start()
        processes.append(process)
    return processes


def train_on(count: int, recipe: Recipe, shards: Path, folder: Path) -> None:
    """Train on so many ranks to the end."""
    codes = exit_codes(start_ranks(count, recipe, shards, folder))
    assert codes == [0] * count, [said_by(folder, rank) for rank in range(count)]


def exit_codes(processes: list[BaseProcess], seconds: float = 300) -> list[int | None]:
    for process in processes:
        process.join(seconds)
        if process.is_alive():
            process.kill()
    return [process.exitcode for process in processes]


def wait_until_met(count: int, folder: Path, seconds: float = 100) -> None:
    """Before that nobody can notice that one of them is dead."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not all(_has_met(folder, rank) for rank in range(count)):
        time.sleep(0.01)


def _has_met(folder: Path, rank: int) -> bool:
    return folder.with_name(f"{folder.name}.rank-{rank}").is_file() and said_by(folder, rank).startswith("met")


def said_by(folder: Path, rank: int) -> str:
    return folder.with_name(f"{folder.name}.rank-{rank}").read_text()


def kill(process: BaseProcess, number: signal.Signals = signal.SIGKILL) -> None:
    assert process.pid is not None
    os.kill(process.pid, number)


def _rank(url: str, recipe: Recipe, shards: Path, folder: Path, said: Path) -> None:
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
