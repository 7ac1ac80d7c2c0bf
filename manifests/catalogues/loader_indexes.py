"""What other tools look for beside WebDataset tars: the index of wids, and the head of a README that `datasets` reads.

wids_index("train", [Listed("train-00000.tar", samples=5000, num_bytes=1 << 30)])
card_head({"train": ["train-00000.tar"], "validation": []})
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Listed:
    name: str
    samples: int
    num_bytes: int


def wids_index(split: str, tars: list[Listed]) -> str:
    listed = [{"url": tar.name, "nsamples": tar.samples, "filesize": tar.num_bytes} for tar in tars]
    index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": split, "shardlist": listed}
    return json.dumps(index, indent=1) + "\n"


def card_head(splits: dict[str, list[str]], more: list[str] | None = None) -> list[str]:
    """Lines of YAML: without them Hugging Face takes neighbours that are named like a split for data."""
    head = ["---", *(more or []), "configs:", "- config_name: default", "  data_files:"]
    for split, names in splits.items():
        head += [f"  - split: {split}", "    path:", *(f"    - {name}" for name in names)] if names else []
    return [*head, "---"]
