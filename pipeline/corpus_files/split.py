"""Which split a pair belongs to: a hash of its duplicate cluster, so that duplicates are in one split.

    split_of(cluster, validation=0.02)      # "train" or "validation"

A pure function of the cluster: adding pairs to a corpus moves none of the others.
"""

import hashlib

import numpy as np
import pyarrow as pa

from ...manifests.documents import Json

SPLITS = ("train", "validation")


def split_of(cluster: str, validation: float) -> str:
    draw = int.from_bytes(hashlib.blake2b(cluster.encode(), digest_size=8, person=b"tuwen/split").digest(), "big")
    return "validation" if draw < round(validation * 2**64) else "train"


def split_rows(kept: pa.Table, validation: float) -> dict[str, pa.Table]:
    """The kept pairs of each split, in the order of the decision table."""
    splits = np.array([split_of(cluster, validation) for cluster in kept["cluster"].to_pylist()], dtype=object)
    return {name: kept.take(np.flatnonzero(splits == name)) for name in SPLITS}


def leakage(splits: dict[str, pa.Table]) -> Json:
    """What train and validation share. All counts must be 0 but that of captions: equal captions leak no picture."""
    shared: Json = {"rule": "by cluster", "checked": {name: len(rows) for name, rows in splits.items()}}
    for column in ("cluster", "image_sha256", "pixels_hash", "caption"):
        train, validation = (set(splits[name][column].to_pylist()) for name in SPLITS)
        shared[f"{column}_in_both"] = len(train & validation)
    return shared
