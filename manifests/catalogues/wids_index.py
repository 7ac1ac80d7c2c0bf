"""The index of a split that wids, webdataset's indexed reader, opens: each tar with its samples and bytes.

index = wids_index("train", [IndexedTar("train-00000.tar", samples=5000, num_bytes=1 << 30)])
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class IndexedTar:
    name: str  # relative to the index
    samples: int
    num_bytes: int


def wids_index(split: str, tars: list[IndexedTar]) -> str:
    """Return the text of `index.SPLIT.json`."""
    shards = [{"url": tar.name, "nsamples": tar.samples, "filesize": tar.num_bytes} for tar in tars]
    index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": split, "shardlist": shards}
    return json.dumps(index, indent=1) + "\n"
