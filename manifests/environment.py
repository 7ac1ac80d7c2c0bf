"""Which tool and which machine made a result: recorded in every manifest, part of no identity."""

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent

_LIBRARIES = (
    "torch",
    "ray",
    "numpy",
    "pyarrow",
    "pillow",
    "sentencepiece",
    "webdataset",
    "faiss-cpu",
    "vector-quantize-pytorch",
)


@cache
def tool() -> dict[str, str]:
    return {"name": "tuwen", "version": metadata.version("tuwen"), "git_revision": _git_revision()}


@cache
def environment() -> dict[str, str | int]:
    versions = {name: metadata.version(name) for name in _LIBRARIES}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count() or 0,
        **versions,
    }


def _git_revision() -> str:
    """The commit of the checkout that runs, with `+changes` if it was edited since; `unknown` in a wheel."""
    if not (PACKAGE / ".git").exists():
        return "unknown"
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
