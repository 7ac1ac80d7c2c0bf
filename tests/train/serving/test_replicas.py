"""Painters on a Ray cluster: the same pictures as in one process, also when one of them is killed while it paints."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tuwen.manifests.recipe.recipe import Recipe
from tuwen.train.run.run import Run, open_run
from tuwen.train.serving.replicas import Replicas
from tuwen.train.serving.requests import Limits

from ..test_plans import trained
from .served import CIRCLE, Server, ask_and_leave

LIMITS = Limits(rate=100_000, at_once=100, waiting=10_000)
MANY = {"prompt": CIRCLE, "n": 10, "quality": "hd"}  # 80 samples, of which 10 are kept


@pytest.fixture(scope="module")
def run(shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(trained(shapes, tmp_path_factory.mktemp("replicas") / "shapes" / "train", steps=30))


@pytest.fixture(scope="module")
def replicated(run: Run) -> Iterator[Server]:
    served = Server(run, LIMITS, Replicas(run, count=2))
    yield served
    served.close()


def replicas() -> list[psutil.Process]:
    """A process that has just ended has no command line: asked for like this it is None, and not an error."""
    every = psutil.process_iter(["cmdline"])
    return [each for each in every if "ServeReplica:tuwen:Painter" in " ".join(each.info["cmdline"] or [])]


def test_replicas_paint_what_one_process_paints_and_a_killed_ones_requests_are_painted_again(
    run: Run, replicated: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = Server(run, LIMITS)
    expected = [alone.generate(**MANY, seed=seed)[1]["data"] for seed in range(4)]
    alone.close()
    assert len(replicas()) == 2
    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(replicated.generate, **MANY, seed=seed) for seed in range(4)]
        while replicated.studio.waiting < 4 * 80:
            time.sleep(0.01)
        time.sleep(0.3)
        replicas()[0].send_signal(signal.SIGKILL)
        answers = [each.result() for each in asked]
    assert [status for status, _ in answers] == [200] * 4
    assert [answer["data"] for _, answer in answers] == expected
    assert "a replica was lost with a request (ActorDiedError): painting it again" in capsys.readouterr().err
    assert replicated.studio.waiting == 0


def test_a_client_that_goes_away_frees_its_place_in_the_replica(replicated: Server) -> None:
    for _ in range(3):
        ask_and_leave(replicated)
    began = time.monotonic()
    assert replicated.generate(prompt=CIRCLE, seed=1)[0] == 200
    assert time.monotonic() - began < 5
