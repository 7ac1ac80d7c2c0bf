"""Rows of several splits, as they come → block shards of each split.

    shards = SplitShards(folder.path, header, ("train", "validation"))
    shards.add("train", codes, text_ids, meta)
    entries = shards.finish()

A shard is written when it is full: so many rows of each split are in memory, and no more.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...manifests.documents import ShardEntry
from ...manifests.shards.block_shard import Block, write_shard
from ...manifests.shards.row_meta import RowMeta
from ..shard_header import ShardHeader

_BLOCK_ROWS = 4096
_MOST_CODES = 1 << 25  # of a shard in memory: 64 MiB, 8 blocks of 1,024 codes a row


@dataclass
class _Rows:
    codes: list[NDArray[Any]] = field(default_factory=list)
    text: list[list[int]] = field(default_factory=list)
    meta: list[RowMeta] = field(default_factory=list)


class SplitShards:
    def __init__(self, folder: Path, header: ShardHeader, splits: tuple[str, ...]) -> None:
        self._folder, self._header = folder, header
        codes = header["schema"]["codes"]
        num_codes = int(np.prod(codes["shape"]))
        self._dtype = np.dtype(codes["dtype"])
        self._shard_rows = _BLOCK_ROWS * max(1, min(16, _MOST_CODES // (num_codes * _BLOCK_ROWS)))
        self._rows = {split: _Rows() for split in splits}
        self._entries: dict[str, list[ShardEntry]] = {split: [] for split in splits}

    def add(self, split: str, codes: NDArray[Any], text: list[int], meta: RowMeta) -> None:
        rows = self._rows[split]
        rows.codes.append(codes.astype(self._dtype))
        rows.text.append(text)
        rows.meta.append(meta)
        if len(rows.meta) == self._shard_rows:
            self._write(split)

    def finish(self) -> dict[str, list[ShardEntry]]:
        """Write what is left, and return the entries of each split."""
        for split, rows in self._rows.items():
            if rows.meta:
                self._write(split)
        return self._entries

    def _write(self, split: str) -> None:
        rows, self._rows[split] = self._rows[split], _Rows()
        entries, schema = self._entries[split], self._header["schema"]
        slices = [slice(start, start + _BLOCK_ROWS) for start in range(0, len(rows.meta), _BLOCK_ROWS)]
        entries.append(
            write_shard(
                self._folder / f"{split}-{len(entries):05d}.tar",
                (Block(np.stack(rows.codes[part]), rows.text[part], rows.meta[part]) for part in slices),
                block_rows=_BLOCK_ROWS,
                codebook=schema["codes"]["codebook"],
                vocab=schema["text"]["vocab"],
                header=dict(self._header),
            )
        )
