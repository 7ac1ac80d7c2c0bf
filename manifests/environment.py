"""Which tool and which machine made a result: recorded in every manifest, part of no identity."""

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent

_LIBRARIES = (
    "torch", "ray", "numpy", "pyarrow", "pillow", "sentencepiece", "opencc", "webdataset", "faiss-cpu",
    "vector-quantize-pytorch", "ftfy", "py3langid", "rjieba", "pyahocorasick", "simplejpeg",
)  # fmt: skip


@cache
def tool() -> dict[str, str]:
    return {"name": "tuwen", "version": metadata.version("tuwen"), "git_revision": _git_revision()}


@cache
def libraries() -> dict[str, str]:
    """The versions of what decodes, tokenizes and writes: another one may give other bytes."""
    return {name: metadata.version(name) for name in _LIBRARIES}


@cache
def environment() -> dict[str, str | int]:
    cpus = os.cpu_count() or 0
    return {"python": platform.python_version(), "platform": platform.platform(), "cpus": cpus, **libraries()}


def _git_revision() -> str:
    """The commit of the checkout that runs, with `+changes` if it was edited since; `unknown` in a wheel."""
    if not (PACKAGE / ".git").exists():
        return "unknown"
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes"]
    try:
        found = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
