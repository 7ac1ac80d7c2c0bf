"""A coin, and numbers, for each position of a training: the same on any rank, in any order, after any restart.

is_heads_B = coins("drop captions", seed=0, positions=range(64, 96), share=0.1)
numbers_BN = numbers("caption noise", seed=0, positions=range(64, 96), count=6)
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def coins(name: str, seed: int, positions: Sequence[int], share: float) -> NDArray[np.bool_]:
    """True for a `share` of the positions; coins of other names and seeds are independent."""
    if not share:
        return np.zeros(len(positions), dtype=np.bool_)
    digests = (_digest(name, seed, position, num_bytes=8) for position in positions)
    return np.array([int.from_bytes(digest, "little") < share * 2.0**64 for digest in digests], dtype=np.bool_)


def numbers(name: str, seed: int, positions: Sequence[int], count: int) -> NDArray[np.int64]:
    """`count` numbers below 2³² for each position, 16 at most: (positions, count)."""
    digests = b"".join(_digest(name, seed, position, num_bytes=4 * count) for position in positions)
    return np.frombuffer(digests, dtype="<u4").reshape(-1, count).astype(np.int64)


def _digest(name: str, seed: int, position: int, num_bytes: int) -> bytes:
    return hashlib.blake2b(f"{name}/{seed}/{position}".encode(), digest_size=num_bytes).digest()
