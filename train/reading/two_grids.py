"""Rows whose codes are those of two grids, side by side: the picture's own, and finer ones of the same picture.

reader = open_reader(manifest, "train", finer="codes_large")
codes, text, lengths = reader.rows(np.array([7, 3]))        # codes (2, h·w + H·W)
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from ...manifests.manifest import Manifest
from ...manifests.shards.row_index import Numbers
from ...manifests.shards.row_meta import RowMeta
from ...manifests.shards.split_reader import Rows, SplitReader, Verify


class RowReader(Protocol):
    """What a stream reads from."""

    manifest: Manifest

    def __len__(self) -> int: ...

    def rows(self, rows: Numbers) -> Rows: ...

    def batches(self, rows: Numbers, size: int) -> Iterator[Rows]: ...

    def metas(self, rows: Numbers) -> list[RowMeta]: ...


class TwoGrids:
    """Two readers of one split; captions and metadata are those of the first."""

    def __init__(self, manifest: Manifest, split: str, verify: Verify, finer: str) -> None:
        self.manifest = manifest
        self._coarse, self._finer = (SplitReader(manifest, split, verify, codes) for codes in ("codes", finer))

    def __len__(self) -> int:
        return len(self._coarse)

    def rows(self, rows: Numbers) -> Rows:
        return next(self.batches(rows, max(1, len(rows))))

    def batches(self, rows: Numbers, size: int) -> Iterator[Rows]:
        both = zip(self._coarse.batches(rows, size), self._finer.batches(rows, size), strict=True)
        for (codes, text, lengths), (finer, _, _) in both:
            yield np.concatenate((codes, finer), axis=1), text, lengths

    def metas(self, rows: Numbers) -> list[RowMeta]:
        return self._coarse.metas(rows)


def open_reader(manifest: Manifest, split: str, verify: Verify = "block", finer: str | None = None) -> RowReader:
    """`finer` is the array of further codes that the rows have besides; None: none."""
    return SplitReader(manifest, split, verify) if finer is None else TwoGrids(manifest, split, verify, finer)
