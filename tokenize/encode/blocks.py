"""Encoded stretches as blocks of exactly B samples, and the counts of a shard.

    blocks = Blocks(paths, ["codes"], block_rows=4096)
    for block in blocks: …                   # the last may be short; one stretch is in memory at a time
    blocks.counts["codes"]                   # how often each code occurred, once all blocks were taken

A stretch whose pictures were lost has fewer samples than a block; those that follow fill it up.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...manifests.errors import CheckFailed
from ...manifests.shards.block_shard import Block
from ..image_codes import ImageTokenizerIdentity
from ..quality import count_codes
from .encoded_rows import EncodedRows, read_encoded


class Blocks:
    def __init__(self, paths: list[Path], identities: Mapping[str, ImageTokenizerIdentity], block_rows: int) -> None:
        """`identities` are by array of codes."""
        self._paths, self._identities, self._block_rows = paths, identities, block_rows
        self.counts: dict[str, NDArray[np.int64]] = {}  # by array: (codebooks, codebook)

    def __iter__(self) -> Iterator[Block]:
        waiting = Block(codes=np.zeros((0, 0)), text=[], meta=[])
        for path in self._paths:
            encoded = read_encoded(path, list(self._identities))
            if encoded is None:
                raise CheckFailed(f"{path}: gone, or altered on the disk", cure="give the command again")
            self._count(encoded)
            waiting = _joined(waiting, encoded) if len(encoded.meta) else waiting
            while len(waiting.meta) >= self._block_rows:
                block, waiting = _cut(waiting, self._block_rows)
                yield block
        if waiting.meta:
            yield waiting

    def _count(self, encoded: EncodedRows) -> None:
        for array, codes in encoded.codes.items():
            counts = count_codes(codes, self._identities[array])
            self.counts[array] = self.counts[array] + counts if array in self.counts else counts


def _joined(block: Block, encoded: EncodedRows) -> Block:
    own: dict[str, Any] = {"codes": block.codes, **block.also}
    codes = {array: np.concatenate([own[array], new]) if block.meta else new for array, new in encoded.codes.items()}
    also = {array: values for array, values in codes.items() if array != "codes"}
    return Block(codes["codes"], [*block.text, *encoded.text], [*block.meta, *encoded.meta], also)


def _cut(block: Block, rows: int) -> tuple[Block, Block]:
    first, rest = (
        Block(
            block.codes[part],
            block.text[part],
            block.meta[part],
            {array: values[part] for array, values in block.also.items()},
        )
        for part in (slice(rows), slice(rows, None))
    )
    return first, rest
