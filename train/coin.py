"""A coin for each position of a training: the same on any rank, in any order, after any restart.

is_heads_B = coins("drop captions", seed=0, positions=range(64, 96), share=0.1)
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def coins(name: str, seed: int, positions: Iterable[int], share: float) -> NDArray[np.bool_]:
    """True for a `share` of the positions; coins of other names and seeds are independent."""
    digests = (hashlib.blake2b(f"{name}/{seed}/{position}".encode(), digest_size=8).digest() for position in positions)
    return np.array([int.from_bytes(digest, "little") < share * 2.0**64 for digest in digests], dtype=np.bool_)
