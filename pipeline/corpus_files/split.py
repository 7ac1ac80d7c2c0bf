"""Which split a pair belongs to: a hash of its duplicate cluster, so that duplicates never straddle.

    split_of(cluster, validation=0.02)      # "train" or "validation"

A pure function of the cluster: adding pairs to a corpus moves none of the others.
"""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa

SPLITS = ("train", "validation")


def split_of(cluster: str, validation: float) -> str:
    draw = int.from_bytes(hashlib.blake2b(cluster.encode(), digest_size=8, person=b"tuwen/split").digest(), "big")
    return "validation" if draw < round(validation * 2**64) else "train"


def split_rows(kept: pa.Table, validation: float) -> dict[str, pa.Table]:
    """The kept pairs of each split, in the order of the decision table."""
    splits = np.array([split_of(cluster, validation) for cluster in kept["cluster"].to_pylist()], dtype=object)
    return {name: kept.take(np.flatnonzero(splits == name)) for name in SPLITS}


def leakage(splits: dict[str, pa.Table]) -> dict[str, Any]:
    """What train and validation share; all must be 0 but equal captions, which leak no picture."""
    found: dict[str, Any] = {"rule": "by cluster", "checked": {name: len(rows) for name, rows in splits.items()}}
    for column in ("cluster", "image_sha256", "pixels_hash", "caption"):
        train, validation = (set(splits[name][column].to_pylist()) for name in SPLITS)
        found[f"{column}_in_both"] = len(train & validation)
    return found
