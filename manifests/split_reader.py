"""All shards of one split as a single array of rows.

    reader = SplitReader(load_manifest("runs/emoji/shards"), "train")
    codes, text, lengths = reader.rows(np.array([7000, 3, 3]))

Rows are counted through the shards in the manifest's order. Files are mapped at first touch and verified by
block as they are touched; a fault is an error that names the shard and the block, never a skipped row.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .manifest import Manifest
from .shard import ShardReader


class SplitReader:
    def __init__(self, manifest: Manifest, split: str, verify: str = "block") -> None:
        self.shards = manifest.shards_of(split)
        self.source = f"{manifest.id}/{split}"
        self._folder, self._verify = manifest.folder, verify
        self._ends = np.cumsum([shard.samples for shard in self.shards], dtype=np.int64)
        self._readers: dict[int, ShardReader] = {}

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def rows(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """codes (n, h·w), caption ids (n, longest) padded with 0, caption lengths (n,), in the order of `rows`."""
        shards, places = self._locate(rows)
        found = []
        for shard in np.unique(shards).tolist():
            here = np.flatnonzero(shards == shard)
            found.append((here, *self._reader(shard).rows(places[here])))
        codes = np.empty((len(rows), found[0][1].shape[1]), found[0][1].dtype)
        text = np.zeros((len(rows), max(part[2].shape[1] for part in found)), found[0][2].dtype)
        lengths = np.empty(len(rows), np.int64)
        for here, part_codes, part_text, part_lengths in found:
            codes[here], lengths[here] = part_codes, part_lengths
            text[here, : part_text.shape[1]] = part_text
        return codes, text, lengths

    def meta(self, row: int) -> dict[str, Any]:
        """key, caption, source, license and crop box of one row."""
        shards, places = self._locate(np.array([row]))
        return self._reader(int(shards[0])).meta(int(places[0]))

    def find(self, key: str) -> int | None:
        """The row of a key, or None; reads every block's meta until it is found."""
        row = 0
        for shard in range(len(self.shards)):
            reader = self._reader(shard)
            for block in range(reader.entry.num_blocks):
                keys = [line["key"] for line in reader.block_meta(block)]
                if key in keys:
                    return row + keys.index(key)
                row += len(keys)
        return None

    def _locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows {rows.min()} … {rows.max()} of a split of {len(self)}")
        shards = np.searchsorted(self._ends, rows, side="right")
        return shards, rows - np.concatenate([[0], self._ends])[shards]

    def _reader(self, shard: int) -> ShardReader:
        if shard not in self._readers:
            entry = self.shards[shard]
            self._readers[shard] = ShardReader(self._folder / entry.name, entry, self._verify)
        return self._readers[shard]
