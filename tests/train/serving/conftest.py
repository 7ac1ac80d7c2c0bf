"""A run with little to say, and a server of it without limits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tuwen.manifests.recipe.recipe import Recipe
from tuwen.train.run.run import Run, open_run
from tuwen.train.serving.requests import Limits

from ..test_plans import trained
from .served import Server

Built = tuple[Recipe, Path]


@pytest.fixture(scope="module")
def run(shapes: Built, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(trained(shapes, tmp_path_factory.mktemp("serve") / "shapes" / "train", steps=30))


@pytest.fixture(scope="module")
def server(run: Run) -> Iterator[Server]:
    served = Server(run, Limits(rate=100_000, at_once=100, refused_words=("血腥",)))
    yield served
    served.close()
