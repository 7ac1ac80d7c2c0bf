"""A cache of remote files on the local disk, in which files are named by their sha256.

    path = cached("s3://bucket/shards/train-00000.tar", "sha256:9c…", 80_640_000)

A file is downloaded to a temporary name, hashed on the way, and renamed only when its sha256 is the expected one, so
every file in the cache is whole. Two processes that want one file wait for each other (flock). Above the cap the least
recently used files are deleted; a reader that has one mapped unmaps it within a second, and fetches it again on the
next use.

    TUWEN_CACHE         the folder; default ~/.cache/tuwen
    TUWEN_CACHE_BYTES   the cap; default 80% of what the cache holds and the disk has free
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..atomic import whole_file
from ..errors import BadInput, CheckFailed
from .download import download


def cache_folder() -> Path:
    return Path(os.environ.get("TUWEN_CACHE") or Path.home() / ".cache" / "tuwen")


def cached(url: str, sha256: str, num_bytes: int) -> Path:
    """Return the path of the cached file, downloaded if needed.

    Raises CheckFailed when the bytes at `url` differ or cannot be read, BadInput when its library is missing.
    """
    digest = sha256.removeprefix("sha256:")
    if not re.fullmatch("[0-9a-f]{64}", digest):  # it becomes a path
        raise CheckFailed(f"{url}: `{sha256}` is no sha256", cure="do not use this manifest")
    path = cache_folder() / "files" / digest[:2] / digest
    with locked(path.with_suffix(".lock")):
        if not (path.is_file() and path.stat().st_size == num_bytes):
            _make_room(num_bytes)
            with whole_file(path) as temporary:
                download(url, temporary, sha256, num_bytes)
        path.with_suffix(".used").touch()  # touching the file itself would make it look changed
    return path


def forget(path: Path) -> bool:
    """Delete a corrupt file of the cache. Returns False for a file elsewhere, which stays."""
    if not path.is_relative_to(cache_folder()):
        return False
    path.unlink(missing_ok=True)
    return True


def _make_room(num_bytes: int) -> None:
    """Delete the least recently used files until `num_bytes` more fit under the cap."""
    folder = cache_folder() / "files"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        held = sorted((_last_use(path), path.stat().st_size, path) for path in folder.glob("??/*") if not path.suffix)
        total = sum(size for _, size, _ in held)
        cap = _cap(total + shutil.disk_usage(folder).free)
        if num_bytes > cap:
            raise BadInput(f"a shard of {num_bytes:,} bytes, and a cache of {cap:,}", cure="raise TUWEN_CACHE_BYTES")
        for _, size, path in held:
            if total + num_bytes <= cap:
                return
            path.unlink(missing_ok=True)
            path.with_suffix(".used").unlink(missing_ok=True)
            total -= size


def _cap(room: int) -> int:
    stated = os.environ.get("TUWEN_CACHE_BYTES")
    if not stated:
        return int(0.8 * room)
    if not stated.isdigit():
        raise BadInput(f"TUWEN_CACHE_BYTES={stated}", cure="state a whole number of bytes")
    return int(stated)


def _last_use(path: Path) -> float:
    used = path.with_suffix(".used")
    return used.stat().st_mtime if used.exists() else path.stat().st_mtime


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock at `path`: no other process or thread is in a block with the same path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
