"""Find the file of a shard. A shard may have several locations, since its bytes identify it and not its URL.

    path = find_shard(manifest, manifest.shards[0])       # a local file of the right size

The `urls` of a manifest are base folders or fsspec URLs (s3, gs, http, memory), tried in this order; "." is the
location of the manifest itself. A shard may have `urls` of its own, by which a merged manifest points into the folders
of its parents. Remote shards are read through the cache (`remote.file_cache`).
"""

import hashlib
import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from ..atomic import whole_file
from ..canonical import sha256_of_file
from ..documents import FileEntry, ShardEntry
from ..errors import BadInput, CheckFailed
from ..manifest import Manifest
from ..remote.download import is_remote, join
from ..remote.file_cache import cache_folder, cached

_log = logging.getLogger("tuwen")
_CURE = "restore it from a copy, or run the stage again"


def find_shard(manifest: Manifest, shard: ShardEntry) -> Path:
    """Return the first usable location as a local path. Skipped locations are logged as warnings.

    Raises CheckFailed with the problem of every location when none is usable.
    """
    problems = []
    for location in locations_of(manifest, shard):
        try:
            if is_remote(location):
                path = cached(location, shard.sha256, shard.bytes)
            else:
                path = _local(Path(location), shard.bytes)
        except CheckFailed as error:
            problems.append(error)
            continue
        for problem in problems:
            _log.warning("%s; read from %s", problem.problem, location)
        return path
    raise CheckFailed(", ".join(problem.problem for problem in problems), cure=problems[-1].cure)


def locations_of(manifest: Manifest, shard: ShardEntry) -> list[str]:
    """Return the paths and URLs of a shard in the order in which they are tried."""
    bases = [join(manifest.base, url) for url in manifest.urls]
    return [*(join(manifest.base, url) for url in shard.urls), *(join(base, shard.name) for base in bases)]


def has_remote_location(manifest: Manifest, shard: ShardEntry) -> bool:
    return any(is_remote(location) for location in locations_of(manifest, shard))


def refuse_own_folder(out: Path, manifests: list[Manifest]) -> None:
    """Raise BadInput when a result in `out` would overwrite one of the manifests or the shards of one."""
    for manifest in manifests:
        shards = [
            Path(location)
            for shard in manifest.shards
            for location in locations_of(manifest, shard)
            if not is_remote(location)
        ]
        if out.resolve() in {manifest.folder.resolve(), *(path.parent.resolve() for path in shards)}:
            raise BadInput(f"{out}: holds the manifest or its shards", cure="give another --out: they stay as they are")


def relative_locations(folder: Path, manifest: Manifest, shard: ShardEntry) -> list[str]:
    """Return the locations of a shard relative to `folder`, for a manifest there that points at it."""
    return [
        location if is_remote(location) else os.path.relpath(Path(location).resolve(), folder.resolve())
        for location in locations_of(manifest, shard)
    ]


def copy_files(manifest: Manifest, folder: Path) -> list[FileEntry]:
    """Copy the files of a manifest, such as its tokenizers, to `folder`, and return their entries."""
    for file in manifest.files:
        with whole_file(folder / file.name) as temporary:
            shutil.copyfile(manifest.folder / file.name, temporary)
        if sha256_of_file(folder / file.name) != file.sha256:
            raise CheckFailed(f"{manifest.folder / file.name}: its bytes were altered (sha256 differs)", cure=_CURE)
    return manifest.files


def sha256_holds(path: Path, shard: ShardEntry) -> bool:
    """Return whether the file has the sha256 of its entry. A file is hashed once on each host until it changes."""
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
