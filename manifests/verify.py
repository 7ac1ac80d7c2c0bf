"""Is what lies on the disk what the manifest says? Every fault is found and named, not only the first.

    for fault in verify_manifest(load_manifest("runs/emoji/shards")):
        print(fault)      # train-00001.tar: block 3 is corrupt …

A shard's sha256 finds any changed byte; the crc32 of its blocks then say where. `block` reads the blocks
only, `first` the sha256 only.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .canonical import sha256_of_file
from .documents import ShardEntry
from .errors import TuwenError
from .manifest import Manifest
from .remote.download import is_remote
from .shards.shard_locations import find_shard, locations_of

Mode = Literal["off", "first", "block", "always"]

_CURE = "restore it from a copy, or run the stage again"


def verify_manifest(
    manifest: Manifest, mode: Mode = "always", on_file: Callable[[int], None] = lambda num_bytes: None
) -> Iterator[str]:
    """Yield one line a fault. `always` checks sha256 and blocks; `off` only that files are there and of the right size.

    `on_file` is told the bytes of each file when it is done.
    """
    names = {shard.sha256: shard.name for shard in manifest.shards}
    for shard in manifest.shards:
        yield from _verify_shard(manifest, shard, mode, names)
        on_file(shard.bytes)
    for entry in manifest.document.get("files", []):
        yield from _verify_file(manifest.folder / entry["name"], entry, mode)
        on_file(entry["bytes"])
    yield from _verify_totals(manifest)


def bytes_of(manifest: Manifest) -> int:
    return sum(entry["bytes"] for entry in [*manifest.document.get("shards", []), *manifest.document.get("files", [])])


def _verify_file(path: Path, entry: dict[str, Any], mode: Mode) -> Iterator[str]:
    if not path.is_file():
        yield f"{entry['name']}: missing; {_CURE}"
    elif path.stat().st_size != entry["bytes"]:
        yield f"{entry['name']}: {path.stat().st_size} bytes instead of {entry['bytes']}; {_CURE}"
    elif mode != "off" and sha256_of_file(path) != entry["sha256"]:
        yield f"{entry['name']}: its bytes were altered (sha256 differs); {_CURE}"


def _verify_shard(manifest: Manifest, shard: ShardEntry, mode: Mode, names: dict[str, str]) -> Iterator[str]:
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
    corrupt = [] if mode == "first" else list(_corrupt_places(data, shard))
    if size == shard.bytes and (mode in ("first", "always") or len(corrupt) >= shard.num_blocks):
        found = "sha256:" + hashlib.sha256(data.data).hexdigest()
        if found != shard.sha256 and (found in names or not corrupt or len(corrupt) > 1 + shard.num_blocks // 2):
            other = f"the bytes of {names[found]}" if found in names else "other bytes than this manifest's"
            yield f"{shard.name}: holds {other} (sha256 differs); {_CURE}"
            return
    yield from (f"{shard.name}: {place} is corrupt; {_CURE}" for place in corrupt)


def _path_of(manifest: Manifest, shard: ShardEntry) -> Path:
    """Where it lies, whatever its size: a shard that was cut shall be told block by block."""
    local = [Path(place) for place in locations_of(manifest, shard) if not is_remote(place)]
    return next((path for path in local if path.is_file()), None) or find_shard(manifest, shard)


def _corrupt_places(data: np.memmap[Any, Any], shard: ShardEntry) -> Iterator[str]:
    edges = [*shard.block_offsets, shard.bytes]
    expected = [*shard.crc32, shard.tail_crc32]
    for number, (start, stop, crc) in enumerate(zip(edges, edges[1:], expected, strict=False)):
        if stop > data.size or zlib.crc32(data[start:stop].data) != crc:
            yield f"block {number}" if number < shard.num_blocks else "the tail (`__shard__`)"


def _verify_totals(manifest: Manifest) -> Iterator[str]:
    """Counts that must agree with each other: shards against splits, every step's in against its out and dropped."""
    samples = {entry["name"]: entry.get("rows", 0) for entry in manifest.document.get("files", [])}
    samples |= {shard.name: shard.samples for shard in manifest.shards}
    for name, split in manifest.document.get("splits", {}).items():
        if sum(samples.get(shard, 0) for shard in split["shards"]) != split["samples"]:
            yield f"split {name}: its shards do not hold {split['samples']} samples; {_CURE}"
    for step in manifest.document["lineage"].get("steps", []):
        if step["in"] != step["out"] + sum(step["dropped"].values()):
            dropped = sum(step["dropped"].values())
            yield f"step {step['name']}: {step['in']} in, {step['out']} out, {dropped} dropped; {_CURE}"
