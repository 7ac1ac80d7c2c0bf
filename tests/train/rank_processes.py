"""Ranks as real processes on loopback, forked from a server that has imported torch once.

started = start_ranks(4, recipe, shards.folder, folder)
assert [process.wait() for process in started] == [0, 0, 0, 0]
"""

import multiprocessing
import os
import runpy
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from tuwen.manifests.recipe.recipe import Recipe

# By path: the name of this package is the name of the checkout's folder, which a forked process cannot import.
ONE_RANK = Path(__file__).with_name("one_rank.py")
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tuwen.train.training.loop"])


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
        given = {"given": (url, recipe, shards, folder, said)}
        process = _SERVER.Process(target=runpy.run_path, args=(str(ONE_RANK), given, "one_rank"), daemon=True)
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


def wait_until_met(count: int, folder: Path) -> None:
    """Before that nobody can notice that one of them is dead."""
    wait_until(lambda: all(_has_met(folder, rank) for rank in range(count)))


def wait_until(met: Callable[[], bool], seconds: float = 100) -> None:
    """Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} seconds")
        time.sleep(0.002)


def _has_met(folder: Path, rank: int) -> bool:
    return said_by(folder, rank).startswith("met")


def said_by(folder: Path, rank: int) -> str:
    said = folder.with_name(f"{folder.name}.rank-{rank}")
    return said.read_text() if said.is_file() else "has not begun"


def kill(process: BaseProcess, number: signal.Signals = signal.SIGKILL) -> None:
    assert process.pid is not None
    os.kill(process.pid, number)
