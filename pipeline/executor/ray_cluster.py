"""The Ray cluster that stages run on: a local one by default, or the one that an address names.

    start_cluster(address=None, workers=None)     # local, every CPU; a second call changes nothing
    num_cpus()

A local cluster has no dashboard, sends no usage statistics, and a small object store: pictures never
enter it, only paths and small columns do. A distant one is sent this very package.
"""

import logging
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import ray

from ...manifests.counted import counted
from ...manifests.environment import PACKAGE
from ...manifests.errors import BadInput

# Ray's default takes 30% of the memory, and falls back to slow files where /dev/shm is small (containers).
_OBJECT_STORE_BYTES = 256 * 1024**2


def start_cluster(address: str | None = None, workers: int | None = None) -> None:
    """Raises BadInput when the cluster at `address` does not answer."""
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # no warning about devices that no task asks for
    # Ray's own niceness of 15 leaves a worker 3% of a core that anyone else is using.
    os.environ.setdefault("RAY_worker_niceness", "0")
    address = address or os.environ.get("RAY_ADDRESS")
    if address and address != "local":
        _join(address)
    else:
        cpus = max(workers or 0, usable_cpus())
        print(f"starting Ray on {counted(cpus, 'CPU')} …", file=sys.stderr, flush=True)
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


def stop_cluster() -> None:
    ray.shutdown()


def num_cpus() -> int:
    cpus = ray.cluster_resources().get("CPU", 1)  # type: ignore[no-untyped-call]
    return max(1, int(cpus))


def usable_cpus() -> int:
    """The CPUs that this process may use, not those that the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _join(address: str) -> None:
    print(f"joining the Ray cluster at {address} …", file=sys.stderr, flush=True)
    runtime_env: dict[str, Any] = {"py_modules": [str(_stage_package())]}
    if " " in sys.executable:  # Ray gives its workers' command to a shell, this word unquoted: none would ever start
        runtime_env["py_executable"] = shlex.quote(sys.executable)
    try:
        ray.init(address=address, runtime_env=runtime_env, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        cure = "start one with `ray start --head`; if it wants a token, set RAY_AUTH_MODE=token"
        raise BadInput(f"no Ray cluster at {address} ({error})", cure) from None


def _stage_package() -> Path:
    """A copy of the package in a folder of its own name, for Ray to send to the nodes.

    The import package is the repository root, whose folder may have any name. Not a wheel: Ray installs one with all
    that it depends on, and every node would fetch a torch of its own.
    """
    staged = Path(tempfile.mkdtemp(prefix="tuwen-")) / "tuwen"
    staged.mkdir()
    shutil.copy(PACKAGE / "__init__.py", staged)
    for room in ("manifests", "pipeline", "tokenize", "train"):
        shutil.copytree(PACKAGE / room, staged / room, ignore=shutil.ignore_patterns("__pycache__", "*.md"))
    return staged
