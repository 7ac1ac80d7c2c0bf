"""Batches of cropped pictures from files that may be larger than memory.

    batches = CropBatches(files, batch=32, seed=0)      # .npy files of the stage `crop`, uint8 (n, side, side, 3)
    batches.batch(4711)                                 # uint8 (32, side, side, 3), a function of (seed, step) alone
    for pictures in batches.ahead(first=4711, end=5000):
        …                                               # the next ones are read by a thread meanwhile

The files are memory-mapped: the system keeps of them what it has room for. A process holds `AHEAD` batches.
"""

from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import numpy as np

from ...manifests.order.permutation import Permutation
from ..image_codes import Pictures

AHEAD = 4  # batches


class CropBatches:
    """Epoch after epoch in a new order, half of the pictures mirrored, all shifted if so asked."""

    def __init__(self, files: list[Path], batch: int, seed: int, shift_px: int = 0) -> None:
        self._files: list[Pictures] = [np.load(file, mmap_mode="r") for file in files]
        self._ends = list(accumulate(len(pictures) for pictures in self._files))
        self.size, self.seed, self.shift_px = batch, seed, shift_px

    def __len__(self) -> int:
        """The number of pictures."""
        return self._ends[-1]

    def batch(self, step: int) -> Pictures:
        pictures = np.stack([self.picture(row) for row in self.rows(step)])
        draws = np.random.default_rng((self.seed, step))  # so that a training that resumes draws as an unbroken one
        mirrored = draws.random(self.size) < 0.5
        pictures = np.where(mirrored[:, None, None, None], pictures[:, :, ::-1], pictures)
        return _shifted(pictures, self.shift_px, draws) if self.shift_px else pictures

    def ahead(self, first: int, end: int) -> Iterator[Pictures]:
        """Yield the batches of the steps `first` … `end - 1`, read by one thread."""
        with ThreadPoolExecutor(1, thread_name_prefix="crops") as pool:
            waiting = [pool.submit(self.batch, step) for step in range(first, min(first + AHEAD, end))]
            for step in range(first, end):
                yield waiting.pop(0).result()
                if step + AHEAD < end:
                    waiting.append(pool.submit(self.batch, step + AHEAD))

    def rows(self, step: int) -> list[int]:
        """The rows of the pictures of a batch: each epoch has every row once, and batches go on across its end."""
        epochs, indices = np.divmod(np.arange(step * self.size, (step + 1) * self.size, dtype=np.uint64), len(self))
        orders = (Permutation(len(self), self.seed, "crops", int(epoch)) for epoch in np.unique(epochs))
        return [int(row) for order in orders for row in order.forward(indices[epochs == order.epoch])]

    def picture(self, row: int) -> Pictures:
        """uint8 (side, side, 3)."""
        file = bisect_right(self._ends, row)
        picture: Pictures = self._files[file][row - self._ends[file]]  # counted from the end
        return picture


def _shifted(pictures: Pictures, most: int, draws: np.random.Generator) -> Pictures:
    """Each picture moved by at most `most` px either way, its edges repeated."""
    side = pictures.shape[1]
    wide = np.pad(pictures, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    corners = draws.integers(0, 2 * most, (len(pictures), 2), endpoint=True)
    return np.stack([p[top : top + side, left : left + side] for p, (top, left) in zip(wide, corners, strict=True)])
