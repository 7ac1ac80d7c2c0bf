"""The tool and the machine that made a result. Every manifest records them; no id depends on them."""

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
    """Return the versions of the libraries that decode, tokenize and write: another version may give other bytes."""
    return {name: metadata.version(name) for name in _LIBRARIES}


@cache
def environment() -> dict[str, str | int]:
    cpus = os.cpu_count() or 0
    return {"python": platform.python_version(), "platform": platform.platform(), "cpus": cpus, **libraries()}


def _git_revision() -> str:
    """Return the commit of the running checkout, with `+changes` if files differ from it, or `unknown` in a wheel."""
    if not (PACKAGE / ".git").exists():
        return "unknown"
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes"]
    try:
        described = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()
