"""The byte offsets of every row of many shards, as arrays over their blocks: 80 bytes a block, however long it is.

index = RowIndex(shards, files.starts)               # files: MappedFiles
blocks, offsets = index.locate(np.array([7000, 3]))
codes = index.codes(memory, blocks, offsets, index.shard_starts(blocks))      # memory: np.asarray(files)
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..documents import ShardEntry
from .buffer_pool import BufferPool
from .mapped_files import aligned_records, numbers, records

Numbers = NDArray[np.int64]
Memory = NDArray[np.uint8]


class RowIndex:
    """Rows and blocks are counted through all shards; `offsets` are the numbers of rows in their blocks."""

    def __init__(self, shards: list[ShardEntry], shard_starts: Numbers, codes: str = "codes") -> None:
        """`codes` is the array that `codes` reads: "codes", or "codes_NAME" of a further tokenizer."""
        counts = [shard.num_blocks for shard in shards]
        self.first_block = np.cumsum([0, *counts], dtype=np.int64)
        self.shard_of_block = np.repeat(np.arange(len(shards)), counts)
        self._shard_starts = shard_starts
        self._block_rows = np.array([shard.block_rows for shard in shards], dtype=np.int64)
        self._row_ends = np.cumsum([shard.samples for shard in shards], dtype=np.int64)
        self.row_starts = self._row_ends - np.array([shard.samples for shard in shards], dtype=np.int64)
        self.crc32 = np.array([crc for shard in shards for crc in shard.crc32], dtype=np.uint32)
        self._edges = [
            np.array(
                [edge for shard in shards for edge in shard.block_offsets[first : first + shard.num_blocks]], np.int64
            )
            for first in (0, 1)
        ]
        arrays = shards[0].arrays if shards else {}
        self._starts = {
            name: np.array([start for shard in shards for start in shard.arrays[name].blocks], dtype=np.int64)
            for name in arrays
        }
        self._codes = codes
        self.codes_dtype = np.dtype(arrays[codes].dtype if shards else "<u2")
        self.text_dtype = np.dtype(arrays["text"].dtype if shards else "<u2")
        self._codes_bytes = arrays[codes].stride if shards else 0
        first_rows = shard_starts[self.shard_of_block] + self._starts[codes] if shards else np.zeros(0)
        self._aligned = self._codes_bytes > 0 and not (first_rows % self._codes_bytes).any()
        self._text_bytes = arrays["text"].stride if shards else 0
        self._text_size = "text_len" if "text_len" in arrays else "text_ptr"
        self._size_dtype = np.dtype(arrays[self._text_size].dtype if shards else "<u4")

    @property
    def num_rows(self) -> int:
        return int(self._row_ends[-1]) if len(self._row_ends) else 0

    @property
    def num_blocks(self) -> int:
        return len(self.shard_of_block)

    @property
    def num_codes(self) -> int:
        return self._codes_bytes // self.codes_dtype.itemsize

    def locate(self, rows: Numbers) -> tuple[Numbers, Numbers]:
        """Return the block of each row, and its offset in rows in that block."""
        shards = np.searchsorted(self._row_ends, rows, side="right")
        blocks, offsets = np.divmod(rows - self.row_starts[shards], self._block_rows[shards])
        return blocks + self.first_block[shards], offsets

    def edges(self, block: int) -> tuple[int, int]:
        """Return the first byte of a block in its shard, and the first byte after it."""
        return int(self._edges[0][block]), int(self._edges[1][block])

    def array_start(self, name: str, block: int) -> int:
        """Return the first byte of an array, counted from the start of its block."""
        return int(self._starts[name][block] - self._edges[0][block])

    def shard_starts(self, blocks: Numbers) -> Numbers:
        """Return the first mapped address of the shard of each block."""
        starts: Numbers = self._shard_starts[self.shard_of_block[blocks]]
        return starts

    def codes(
        self, memory: Memory, blocks: Numbers, offsets: Numbers, starts: Numbers, buffers: BufferPool | None = None
    ) -> NDArray[Any]:
        """Return the codes (n, h·w) of rows whose shards begin at `starts` in `memory`.

        With `buffers`, which needs mapped memory, the result lies in a buffer of the pool.
        """
        first_bytes = starts + self._starts[self._codes][blocks] + offsets * self._codes_bytes
        if buffers is None or not self._aligned:
            return records(memory, first_bytes, self._codes_bytes).view(self.codes_dtype)
        into = buffers.empty(len(first_bytes) * self._codes_bytes)
        return aligned_records(memory, first_bytes, self._codes_bytes, into).view(self.codes_dtype)

    def text_spans(self, memory: Memory, blocks: Numbers, offsets: Numbers, starts: Numbers) -> tuple[Numbers, Numbers]:
        """Return the first byte in `memory` of each row's caption ids, and their number; arguments as in `codes`."""
        size_bytes = starts + self._starts[self._text_size][blocks] + offsets * self._size_dtype.itemsize
        first_bytes = starts + self._starts["text"][blocks]
        sizes = numbers(memory, size_bytes, self._size_dtype).astype(np.int64)
        if self._text_size == "text_len":
            return first_bytes + offsets * self._text_bytes, sizes
        lengths = numbers(memory, size_bytes + self._size_dtype.itemsize, self._size_dtype) - sizes
        return first_bytes + sizes * self._text_bytes, lengths

    def text(self, memory: Memory, first_bytes: Numbers, lengths: Numbers) -> NDArray[Any]:
        """Return caption ids padded with 0: (n, longest)."""
        longest = int(lengths.max(initial=0))
        text = records(memory, first_bytes, longest * self.text_dtype.itemsize).view(self.text_dtype)
        text *= np.arange(longest) < lengths[:, None]  # behind the end of a caption lie the ids of another
        return text
