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
from .manifest import Manifest, ShardEntry

Mode = Literal["off", "first", "block", "always"]

_CURE = "restore it from a copy, or run the stage again"


def verify_manifest(
    manifest: Manifest, mode: Mode = "always", on_file: Callable[[int], None] = lambda num_bytes: None
) -> Iterator[str]:
    """Yield one line a fault. `always` checks sha256 and blocks; `off` only that files are there and of the right size.

    `on_file` is told the bytes of each file when it is done.
    """
    for shard in manifest.shards:
        yield from _verify_shard(manifest.folder / shard.name, shard, mode)
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


def _verify_shard(path: Path, shard: ShardEntry, mode: Mode) -> Iterator[str]:
    if not path.is_file():
        yield f"{shard.name}: missing; {_CURE}"
        return
    size = path.stat().st_size
    if size != shard.bytes:
        yield f"{shard.name}: {size} bytes instead of {shard.bytes}; {_CURE}"
    if mode == "off" or size == 0:
        return
    data = np.memmap(path, dtype=np.uint8, mode="r")
    corrupt = [] if mode == "first" else list(_corrupt_places(data, shard))
    for place in corrupt:
        yield f"{shard.name}: {place} is corrupt; {_CURE}"
    altered = mode in ("first", "always") and "sha256:" + hashlib.sha256(data.data).hexdigest() != shard.sha256
    if altered and not corrupt and size == shard.bytes:
        yield f"{shard.name}: its bytes were altered (sha256 differs); {_CURE}"


def _corrupt_places(data: np.memmap[Any, Any], shard: ShardEntry) -> Iterator[str]:
    edges = [*shard.block_offsets, shard.bytes]
    expected = [*shard.crc32, shard.tail_crc32]
    for number, (start, stop, crc) in enumerate(zip(edges, edges[1:], expected, strict=False)):
        if stop > data.size or zlib.crc32(data[start:stop].data) != crc:
            yield f"block {number}" if number < shard.num_blocks else "the tail (`__shard__`)"


def _verify_totals(manifest: Manifest) -> Iterator[str]:
    """Counts that must agree with each other: shards against splits, every step's in against its out and dropped."""
    samples = {shard.name: shard.samples for shard in manifest.shards}
    for name, split in manifest.document.get("splits", {}).items():
        if sum(samples.get(shard, 0) for shard in split["shards"]) != split["samples"]:
            yield f"split {name}: its shards do not hold {split['samples']} samples; {_CURE}"
    for step in manifest.document["lineage"].get("steps", []):
        if step["in"] != step["out"] + sum(step["dropped"].values()):
            dropped = sum(step["dropped"].values())
            yield f"step {step['name']}: {step['in']} in, {step['out']} out, {dropped} dropped; {_CURE}"
