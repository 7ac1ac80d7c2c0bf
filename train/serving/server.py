"""`tuwen serve`: one run, one process, until it is told to end.

    serve(run, ServeOptions(host="127.0.0.1", port=8000), Limits())

SIGTERM finishes what is begun: no connection more is accepted, and those that are open are answered.
"""

import errno
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from ...manifests.errors import BadInput
from ...manifests.manifest import FILE_NAME as MANIFEST
from ...manifests.manifest import load_manifest
from ...pipeline.executor.ray_cluster import start_cluster
from ..run.run import Run
from .api import new_app
from .neighbours import Neighbours
from .painters import OwnThread, Painters
from .requests import Limits
from .studio import Studio


@dataclass(frozen=True)
class ServeOptions:
    host: str = "127.0.0.1"
    port: int = 8000  # 0: any that is free
    replicas: int = 1  # more than one: on a Ray cluster
    ray: str | None = None  # its address
    shards: Path | None = None  # that the run has read; None: those beside it, if there are any


def serve(run: Run, options: ServeOptions, limits: Limits) -> None:
    """Raises BadInput when the port is taken, or the run cannot paint."""
    listening = _listening(options)
    studio = Studio(run, _painters(run, options), _neighbours(run, options.shards))
    host, port = listening.getsockname()[:2]
    print(f"{studio.name}: http://{host}:{port}", file=sys.stderr, flush=True)
    config = uvicorn.Config(
        new_app(studio, limits), log_level="warning", access_log=False, timeout_graceful_shutdown=int(limits.seconds),
        server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    signal.signal(signal.SIGTERM, stop)  # uvicorn has a handler of its own, and raises the signal again when it is done
    try:
        server.run(sockets=[listening])
    finally:
        studio.close()


def _painters(run: Run, options: ServeOptions) -> Painters:
    if options.replicas == 1 and options.ray is None:
        return OwnThread(run)
    try:
        from .replicas import Replicas
    except ImportError as error:
        raise BadInput(f"replicas need {error.name}, which is not here", cure="pip install 'tuwen[serve]'") from None
    start_cluster(options.ray, options.replicas)
    return Replicas(run, options.replicas)


def _neighbours(run: Run, folder: Path | None) -> Neighbours | None:
    """The training pictures, where their shards are at hand. Raises BadInput when other shards were named."""
    shards = folder or run.whole.shards.path
    if folder is None and not (shards / MANIFEST).is_file():
        return None
    manifest = load_manifest(shards, "shards")
    if manifest.id != run.document.shards:
        if folder is None:
            return None
        raise BadInput(f"{folder}: {run.folder.path} has read other shards", cure="name its own with --shards")
    return Neighbours.of(manifest)


def _listening(options: ServeOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((options.host, options.port))
    except OSError as error:
        listening.close()
        taken = error.errno == errno.EADDRINUSE
        cure = "give another --port, or 0 for any that is free" if taken else "give another --host or --port"
        raise BadInput(f"{options.host}:{options.port}: {error.strerror}", cure=cure) from None
    listening.listen(1024)  # before the address is told: who comes at once waits, and is not turned away
    return listening
