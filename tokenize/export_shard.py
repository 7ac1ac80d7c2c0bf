"""One ordinary tar from the block shard of the same name: the function of the stage `export`.

    KEY.codes.npy (h, w)   KEY.json (what is known of the pair, with its caption ids)   KEY.txt (its caption)

Comes in: a part with the shard's entry. Goes out: the tar, with `__shard__` as its last member, and its own entry.
"""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..manifests.canonical import canonical_json
from ..manifests.documents import ShardEntry
from ..manifests.manifest import Manifest
from ..manifests.shards.block_shard import HEADER, entry_of
from ..manifests.shards.split_reader import SplitReader
from ..manifests.shards.tar_member import add_member
from ..pipeline.executor.part import Part


class ExportShardConfig(TypedDict):
    schema: dict[str, Any]
    image_tokenizer: dict[str, Any]
    text_tokenizer: str  # sha256
    base: str  # that the shards are named relative to
    urls: list[str]


def export_shard(part: Part[dict[str, Any]], config: ExportShardConfig, folder: Path) -> dict[str, Any]:
    """Returns the JSON of the tar's entry in the manifest. Raises CheckFailed when the shard is corrupt."""
    shard = ShardEntry.model_validate(part.spec)
    reader = SplitReader(_alone(shard, config["base"], config["urls"]), "all", verify="always")
    path = folder / Path(shard.name).name
    starts: list[int] = []
    codes_starts: list[int] = []
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for first in range(0, shard.samples, shard.block_rows):
            starts.append(tar.offset)
            codes_starts.append(tar.offset + tarfile.BLOCKSIZE)
            rows = np.arange(first, min(first + shard.block_rows, shard.samples))
            for name, data in _members(reader, rows, config["schema"]["codes"]["shape"]):
                add_member(tar, name, data)
        starts.append(tar.offset)
        codes = {"dtype": config["schema"]["codes"]["dtype"], "stride": 0, "offset": codes_starts[0]}
        facts = {"samples": shard.samples, "layout": "sample", "block_rows": shard.block_rows,
                 "arrays": {"codes": {**codes, "blocks": codes_starts}}}  # fmt: skip
        lineage = {"schema": config["schema"], "image_tokenizer": config["image_tokenizer"],
                   "text_tokenizer": config["text_tokenizer"]}  # fmt: skip
        header = {"format": "tuwen/shard", "version": 1, **lineage, **facts, "block_offsets": starts}
        add_member(tar, HEADER, canonical_json(header))
    return entry_of(shard.name, path, facts, starts, shard.keys_sha256, shard.stats).model_dump()


def _members(reader: SplitReader, rows: NDArray[np.int64], grid: list[int]) -> Iterator[tuple[str, bytes]]:
    codes, text, lengths = reader.rows(rows)
    for number, meta in enumerate(reader.metas(rows)):
        buffer = io.BytesIO()
        np.save(buffer, codes[number].reshape(grid), allow_pickle=False)
        yield f"{meta['key']}.codes.npy", buffer.getvalue()
        yield f"{meta['key']}.json", canonical_json({**meta, "text_ids": text[number, : lengths[number]].tolist()})
        yield f"{meta['key']}.txt", meta["caption"].encode()


def _alone(shard: ShardEntry, base: str, urls: list[str]) -> Manifest:
    """A manifest of that shard, as a split `all`: a task need not load one that lists them all."""
    splits = {"all": {"samples": shard.samples, "shards": [shard.name]}}
    document = {"id": shard.sha256, "urls": urls, "shards": [shard.model_dump()], "splits": splits}
    return Manifest(Path(), document, base)
