"""Shards that a server on loopback serves, and a cache of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tuwen.manifests.manifest import Manifest
from tuwen.manifests.remote import download as remote

from ..servers import FaultyHTTPServer
from ..synthetic import make_shards

ROWS = 144


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test; short pauses and time limits."""
    monkeypatch.setenv("TUWEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(remote, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(remote, "MOST_SECONDS", 2.0)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_shards(tmp_path_factory.mktemp("local"), {"train": ROWS})


@pytest.fixture
def server(local: Manifest) -> Iterator[FaultyHTTPServer]:
    with FaultyHTTPServer({f"shards/{path.name}": path.read_bytes() for path in local.folder.iterdir()}) as running:
        yield running
