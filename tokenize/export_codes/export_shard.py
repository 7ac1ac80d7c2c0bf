"""One ordinary tar from the block shard of the same name: the function of the stage `export`.

    KEY.codes.npy (h, w)   KEY.json (what is known of the pair, with its caption ids)   KEY.txt (its caption)

Codes of further tokenizers are KEY.codes_NAME.npy.

Comes in: a part with the shard's entry. Goes out: the tar, with `__shard__` as its last member, and its own entry.
"""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ...manifests.canonical import canonical_json
from ...manifests.documents import Json, ShardEntry
from ...manifests.manifest import Manifest
from ...manifests.shards.block_shard import HEADER, entry_of
from ...manifests.shards.split_reader import SplitReader
from ...manifests.shards.tar_member import add_member
from ...pipeline.executor.part import Part
from ..shard_header import ShardHeader


class ExportShardConfig(TypedDict):
    header: ShardHeader
    base: str  # folder or URL that the shards are named relative to
    urls: list[str]  # that are tried for a shard, relative to `base`


def export_shard(part: Part[Json], config: ExportShardConfig, folder: Path) -> Json:
    """Write the tar of a shard, whose entry is the spec of the part, and return the tar's own entry as JSON.

    Raises CheckFailed when the shard is corrupt.
    """
    shard = ShardEntry.model_validate(part.spec)
    readers = shard_readers(shard, config)
    schema = config["header"]["schema"]
    codes = schema["codes"]
    shapes = {name: array["shape"] for name, array in {"codes": codes, **schema.get("also", {})}.items()}
    path = folder / Path(shard.name).name
    block_offsets: list[int] = []
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for first in range(0, shard.samples, shard.block_rows):
            block_offsets.append(tar.offset)
            rows = np.arange(first, min(first + shard.block_rows, shard.samples))
            for name, data in _members(readers, rows, shapes):
                add_member(tar, name, data)
        # The first member of a block is codes, which begin behind the member's header. Samples have no fixed stride.
        starts = [offset + tarfile.BLOCKSIZE for offset in block_offsets]
        block_offsets.append(tar.offset)
        codes_array = {"dtype": codes["dtype"], "stride": 0, "offset": starts[0], "blocks": starts}
        facts = {
            "samples": shard.samples,
            "layout": "sample",
            "block_rows": shard.block_rows,
            "arrays": {"codes": codes_array},
        }
        add_member(tar, HEADER, canonical_json({**config["header"], **facts, "block_offsets": block_offsets}))
    return entry_of(shard.name, path, facts, block_offsets, shard.keys_sha256, shard.stats).model_dump()


def shard_readers(shard: ShardEntry, config: ExportShardConfig) -> dict[str, SplitReader]:
    """The readers of a shard's arrays of codes, by their names: "codes", and "codes_NAME" of further tokenizers."""
    manifest = _manifest_of_one(shard, config["base"], config["urls"])
    names = ["codes", *config["header"]["schema"].get("also", {})]
    return {name: SplitReader(manifest, "all", "always", name) for name in names}


def _members(
    readers: dict[str, SplitReader], rows: NDArray[np.int64], shapes: dict[str, list[int]]
) -> Iterator[tuple[str, bytes]]:
    _, text, lengths = readers["codes"].rows(rows)
    codes = {name: reader.rows(rows)[0] for name, reader in readers.items()}
    for number, meta in enumerate(readers["codes"].metas(rows)):
        for name, shape in shapes.items():
            buffer = io.BytesIO()
            np.save(buffer, codes[name][number].reshape(shape), allow_pickle=False)
            yield f"{meta['key']}.{name}.npy", buffer.getvalue()
        yield f"{meta['key']}.json", canonical_json({**meta, "text_ids": text[number, : lengths[number]].tolist()})
        yield f"{meta['key']}.txt", meta["caption"].encode()


def _manifest_of_one(shard: ShardEntry, base: str, urls: list[str]) -> Manifest:
    """Return a manifest of that shard as the split `all`: a task need not load one that lists all shards."""
    splits = {"all": {"samples": shard.samples, "shards": [shard.name]}}
    document = {"id": shard.sha256, "urls": urls, "shards": [shard.model_dump()], "splits": splits}
    return Manifest(Path(), document, base)
