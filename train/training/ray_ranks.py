"""`tuwen train --workers N`: the ranks of a training as actors of a Ray cluster, with a GPU each where there are any.

    train_on_cluster(declared, folder, num_ranks=4, must_resume=False, process=Process())

Plain actors, and not Ray Train: that needs packages of its own, and starts dead ranks again by rules of its own. The
folder of the run must be reachable from every node, as for the other stages.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import ray

from ...manifests.errors import BadInput, CheckFailed, TuwenError
from ...manifests.run_folders import TrainFolder
from ...pipeline.executor.progress import Advance
from ...pipeline.executor.ray_cluster import num_cpus
from ..ranks.ranks import DIED_CURE, joined
from .declared_run import DeclaredRun
from .loop import train_declared
from .process import Process

_LOOK_EVERY_SECONDS = 0.5


class _Rank:
    """One rank. Ray calls its methods in threads of their own: one trains, the other answers."""

    def __init__(self) -> None:
        self._process = Process(show=self._show)
        self._shown: tuple[str, int, str, int, str] | None = None  # phase, total, unit, done, note

    def address(self) -> tuple[str, int]:
        """The node's address and a port that is free there."""
        with socket.socket() as free:
            free.bind(("", 0))
            return ray.util.get_node_ip_address(), free.getsockname()[1]  # type: ignore[no-untyped-call]

    def train(
        self, url: str, ranks_here: int, declared: DeclaredRun, folder: TrainFolder, must_resume: bool
    ) -> TuwenError | None:
        """Return the error that ended it: Ray prints the stack of one that is raised and not asked for."""
        try:
            with joined(url, ranks_here) as ranks:
                train_declared(declared, folder, replace(self._process, ranks=ranks), must_resume)
        except TuwenError as error:
            return error
        return None

    def stop(self) -> None:
        self._process.stop.set()

    def shown(self) -> tuple[str, int, str, int, str] | None:
        return self._shown

    @contextmanager
    def _show(self, phase: str, total: int, unit: str) -> Iterator[Advance]:
        done = 0

        def advance(count: int = 1, note: str = "") -> None:
            nonlocal done
            done += count
            self._shown = phase, total, unit, done, note

        yield advance


def train_on_cluster(
    declared: DeclaredRun, folder: TrainFolder, num_ranks: int, must_resume: bool, process: Process
) -> None:
    """Train to the last step on `num_ranks` actors of the cluster. Raises what the first of them to end raises."""
    if num_ranks > num_cpus():
        raise BadInput(f"{num_ranks} ranks on a cluster of {num_cpus()} CPUs", cure="give fewer --workers")
    folder = TrainFolder(folder.path.resolve())  # the actors' current folder may be another
    shards = replace(declared.shards, folder=declared.shards.folder.resolve())
    declared = replace(declared, shards=shards)
    num_gpus = int(ray.cluster_resources().get("GPU", 0) >= num_ranks)  # type: ignore[no-untyped-call]
    actor: Any = ray.remote(_Rank)
    options = {"num_cpus": 1, "num_gpus": num_gpus, "max_concurrency": 3}
    actors = [actor.options(**options).remote() for _ in range(num_ranks)]
    try:
        addresses: list[tuple[str, int]] = ray.get([each.address.remote() for each in actors])
        url = f"tcp://{addresses[0][0]}:{addresses[0][1]}?world_size={num_ranks}"
        on_node = [sum(host == other for other, _ in addresses) for host, _ in addresses]
        running = [
            each.train.remote(f"{url}&rank={rank}", on_node[rank], declared, folder, must_resume)
            for rank, each in enumerate(actors)
        ]
        _watch(actors, running, process)
    finally:
        for each in actors:
            ray.kill(each)


def _watch(actors: list[Any], running: list[Any], process: Process) -> None:
    """Show what the first rank shows, and pass on that it shall stop, until all have ended."""
    waiting, shown, done, advance = list(running), None, 0, None
    with ExitStack() as line:
        while waiting:
            ended, waiting = ray.wait(waiting, timeout=_LOOK_EVERY_SECONDS)
            for reference in ended:
                _raise_if_failed(reference, running.index(reference))
            if running[0] not in waiting:
                continue
            if process.stop.is_set():
                actors[0].stop.remote()
            news = _asked(actors[0])
            if news is not None and news[:3] != shown:
                line.close()
                shown, done = news[:3], 0
                advance = line.enter_context(process.show(*shown))
            if news is not None and advance is not None:
                advance(news[3] - done, note=news[4])
                done = news[3]


def _asked(first: Any) -> tuple[str, int, str, int, str] | None:
    try:
        shown: tuple[str, int, str, int, str] | None = ray.get(first.shown.remote())
        return shown
    except ray.exceptions.RayActorError:  # it has died; its training says so
        return None


def _raise_if_failed(reference: Any, rank: int) -> None:
    try:
        error: TuwenError | None = ray.get(reference)
    except ray.exceptions.RayActorError:
        raise CheckFailed(f"rank {rank} died", cure=DIED_CURE) from None
    if error is not None:
        raise error
