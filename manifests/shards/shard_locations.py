"""Where a shard lies: its URL is not its identity, so several places may be tried for the same bytes.

    path = find_shard(manifest, manifest.shards[0])       # a local file of the right size

A manifest's `urls` are base folders or fsspec URLs (s3, gs, http, memory), tried in this order; "." is where the
manifest itself was found. A shard may have `urls` of its own (a merged manifest points into its parents' folders).
What is remote goes through the content-addressed cache.
"""

import hashlib
import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..atomic import whole_file
from ..canonical import sha256_of_file
from ..documents import ShardEntry
from ..errors import BadInput, CheckFailed
from ..manifest import Manifest
from ..remote.download import is_remote, join
from ..remote.file_cache import cache_folder, cached

_log = logging.getLogger("tuwen")
_CURE = "restore it from a copy, or run the stage again"


def find_shard(manifest: Manifest, shard: ShardEntry) -> Path:
    """Raises CheckFailed with what is wrong at every place. A place that is passed over is logged as a warning."""
    problems = []
    for place in locations_of(manifest, shard):
        try:
            found = cached(place, shard.sha256, shard.bytes) if is_remote(place) else _local(Path(place), shard.bytes)
        except CheckFailed as error:
            problems.append(error)
            continue
        for problem in problems:
            _log.warning("%s; read from %s", problem.problem, place)
        return found
    raise CheckFailed(", ".join(problem.problem for problem in problems), cure=problems[-1].cure)


def locations_of(manifest: Manifest, shard: ShardEntry) -> list[str]:
    bases = [join(manifest.base, url) for url in manifest.document["urls"]]
    return [*(join(manifest.base, url) for url in shard.urls), *(join(base, shard.name) for base in bases)]


def has_remote_location(manifest: Manifest, shard: ShardEntry) -> bool:
    return any(is_remote(place) for place in locations_of(manifest, shard))


def refuse_own_folder(out: Path, manifests: list[Manifest]) -> None:
    """Raises BadInput when writing to `out` would overwrite one of the manifests, or shards that one points at."""
    for manifest in manifests:
        local = [
            Path(place) for shard in manifest.shards for place in locations_of(manifest, shard) if not is_remote(place)
        ]
        if out.resolve() in {manifest.folder.resolve(), *(place.parent.resolve() for place in local)}:
            raise BadInput(f"{out}: holds the manifest or its shards", cure="give another --out: they stay as they are")


def relative_locations(folder: Path, manifest: Manifest, shard: ShardEntry) -> list[str]:
    """For a manifest in `folder` that points at the shards of another one."""
    return [
        place if is_remote(place) else os.path.relpath(Path(place).resolve(), folder.resolve())
        for place in locations_of(manifest, shard)
    ]


def copy_files(manifest: Manifest, folder: Path) -> list[dict[str, Any]]:
    """The small files of a manifest (its tokenizers) beside another; what that says of them."""
    for entry in manifest.document.get("files", []):
        with whole_file(folder / entry["name"]) as temporary:
            shutil.copyfile(manifest.folder / entry["name"], temporary)
        if sha256_of_file(folder / entry["name"]) != entry["sha256"]:
            raise CheckFailed(f"{manifest.folder / entry['name']}: its bytes were altered (sha256 differs)", cure=_CURE)
    return list(manifest.document.get("files", []))


def sha256_holds(path: Path, shard: ShardEntry) -> bool:
    """Is it the file that the manifest means? Hashed once for each file and host, as long as nobody touches it."""
    stat = path.stat()
    identity = (path.resolve(), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    name = hashlib.blake2b(repr((identity, shard.sha256)).encode(), digest_size=16).hexdigest()
    mark = cache_folder() / "verified" / name
    if mark.exists():
        return True
    if sha256_of_file(path) != shard.sha256:
        return False
    if time.time_ns() - stat.st_ctime_ns > 1_000_000_000:  # a younger file could change within one tick of its clock
        with suppress(OSError):  # without a cache it is hashed again next time
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
    return True


def _local(path: Path, num_bytes: int) -> Path:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise CheckFailed(f"{path}: missing", cure=_CURE) from None
    except OSError as error:
        raise CheckFailed(f"{path}: {error.strerror}", cure="change its rights, or restore it from a copy") from None
    if size != num_bytes:
        raise CheckFailed(f"{path}: {size} bytes instead of {num_bytes}", cure=_CURE)
    return path
