"""Codes replaced by random ones in what the model reads in training, never in what it has to predict.

    noise = CodeNoise(share=0.1, seed=0, positions=range(64, 96))
    inputs_BL = noise.applied(ids_BL, layout)

A picture that is sampled holds mistakes, and a model that was trained on true codes alone has never seen one. Each row
has a generator keyed by seed and position, so ranks and restarts change nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...tokenize.finer_sequence import FinerLayout
from ...tokenize.sequence import Ids, SequenceLayout


@dataclass(frozen=True)
class CodeNoise:
    share: float  # of the codes, below 1
    seed: int
    positions: Sequence[int]  # of the rows, in the order of the training

    def applied(self, ids: Ids, layout: SequenceLayout | FinerLayout) -> Ids:
        """The ids (rows, length), in which a share of the codes is another code of the same codebook, or the same."""
        draws = np.stack([self._draws(position, ids.shape[1]) for position in self.positions])  # (rows, 2, length)
        first, size = layout.codebooks_of(ids)
        is_replaced = (draws[:, 0] < np.uint64(self.share * 2.0**64)) & (size > 0)
        code = (draws[:, 1] % np.maximum(size, 1).astype(np.uint64)).astype(np.int64)
        return np.where(is_replaced, first + code, ids)

    def _draws(self, position: int, length: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
        """(2, length): whether each id is replaced, and by what. `random_raw` is the same in every NumPy."""
        name = f"code noise/{self.seed}/{position}"
        key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "little")
        return np.random.Philox(key=key).random_raw(2 * length).reshape(2, length)
