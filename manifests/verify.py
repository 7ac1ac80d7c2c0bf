"""Compare the files of a manifest with its entries: every fault is found and named, not only the first.

    for fault in verify_manifest(load_manifest("runs/emoji/shards")):
        print(fault)      # train-00001.tar: block 3 is corrupt; restore it from a copy, or run the stage again

The sha256 of a shard finds any changed byte, and the crc32 of its blocks tell where it lies.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .canonical import sha256_of_file
from .documents import FileEntry, ShardEntry
from .errors import TuwenError
from .manifest import Manifest
from .remote.download import is_remote
from .shards.shard_locations import find_shard, locations_of
from .shards.split_reader import Verify

_CURE = "restore it from a copy, or run the stage again"


def verify_manifest(
    manifest: Manifest, mode: Verify = "always", on_file: Callable[[int], None] = lambda num_bytes: None
) -> Iterator[str]:
    """Yield one line a fault.

    `off` checks sizes; `first` sizes and sha256; `block` sizes and the crc32 of each block; `always` all of them.
    `on_file` is called with the number of bytes of each file after its check.
    """
    names = {shard.sha256: shard.name for shard in manifest.shards}
    for shard in manifest.shards:
        yield from _verify_shard(manifest, shard, mode, names)
        on_file(shard.bytes)
    for file in manifest.files:
        yield from _verify_file(manifest.folder / file.name, file, mode)
        on_file(file.bytes)
    yield from _verify_counts(manifest)


def bytes_of(manifest: Manifest) -> int:
    """Return the bytes of all shards and files."""
    return sum(entry.bytes for entry in manifest.entries())


def _verify_file(path: Path, file: FileEntry, mode: Verify) -> Iterator[str]:
    if not path.is_file():
        yield f"{file.name}: missing; {_CURE}"
    elif path.stat().st_size != file.bytes:
        yield f"{file.name}: {path.stat().st_size} bytes instead of {file.bytes}; {_CURE}"
    elif mode != "off" and sha256_of_file(path) != file.sha256:
        yield f"{file.name}: its bytes were altered (sha256 differs); {_CURE}"


def _verify_shard(manifest: Manifest, shard: ShardEntry, mode: Verify, names: dict[str, str]) -> Iterator[str]:
    """`names` by sha256: a shard may hold the bytes of another."""
    try:
        path = _path_of(manifest, shard)
        path.open("rb").close()
    except TuwenError as error:
        yield f"{shard.name}: {error}"
        return
    except OSError as error:
        yield f"{shard.name}: {error.strerror}; change its rights, or {_CURE}"
        return
    size = path.stat().st_size
    if size != shard.bytes:
        yield f"{shard.name}: {size} bytes instead of {shard.bytes}; {_CURE}"
    if mode == "off" or size == 0:
        return
    data = np.memmap(path, dtype=np.uint8, mode="r")
    corrupt = [] if mode == "first" else list(_corrupt_parts(data, shard))
    if size == shard.bytes and (mode in ("first", "always") or len(corrupt) >= shard.num_blocks):
        sha256 = "sha256:" + hashlib.sha256(data.data).hexdigest()
        if sha256 != shard.sha256 and (sha256 in names or not corrupt or len(corrupt) > 1 + shard.num_blocks // 2):
            other = f"the bytes of {names[sha256]}" if sha256 in names else "other bytes than this manifest's"
            yield f"{shard.name}: holds {other} (sha256 differs); {_CURE}"
            return
    yield from (f"{shard.name}: {part} is corrupt; {_CURE}" for part in corrupt)


def _path_of(manifest: Manifest, shard: ShardEntry) -> Path:
    """Return the path of the shard, whatever its size, so that a shard that was cut is checked block by block."""
    local = [Path(location) for location in locations_of(manifest, shard) if not is_remote(location)]
    return next((path for path in local if path.is_file()), None) or find_shard(manifest, shard)


def _corrupt_parts(data: np.memmap[Any, Any], shard: ShardEntry) -> Iterator[str]:
    edges = [*shard.block_offsets, shard.bytes]
    expected = [*shard.crc32, shard.tail_crc32]
    for number, (start, stop, crc) in enumerate(zip(edges, edges[1:], expected, strict=False)):
        if stop > data.size or zlib.crc32(data[start:stop].data) != crc:
            yield f"block {number}" if number < shard.num_blocks else "the tail (`__shard__`)"


def _verify_counts(manifest: Manifest) -> Iterator[str]:
    """Compare counts with each other: each split with its shards, each step's `in` with its `out` and `dropped`."""
    samples = {file.name: file.rows or 0 for file in manifest.files}
    samples |= {shard.name: shard.samples for shard in manifest.shards}
    for name, split in manifest.splits.items():
        if sum(samples.get(shard, 0) for shard in split.shards) != split.samples:
            yield f"split {name}: its shards do not hold {split.samples} samples; {_CURE}"
    for step in manifest.lineage.steps:
        dropped = sum(step.dropped.values())
        if step.pairs_in != step.out + dropped:
            yield f"step {step.name}: {step.pairs_in} in, {step.out} out, {dropped} dropped; {_CURE}"
