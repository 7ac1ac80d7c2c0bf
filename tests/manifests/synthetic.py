"""Shards of random rows: no picture, no tokenizer, any size."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.manifests.manifest import Manifest, new_manifest, save_manifest
from tuwen.manifests.shards.block_shard import Block, code_dtype, write_shard

CODEBOOK, VOCAB = 1024, 900


def make_shards(
    folder: Path,
    rows: dict[str, int],
    *,
    name: str = "s",
    block_rows: int = 16,
    shard_blocks: int = 3,
    num_codes: int = 64,
    text_width: int | None = None,
    codebook: int = CODEBOOK,
    shape: tuple[int, ...] | None = None,
    codebooks: int = 1,
) -> Manifest:
    """`rows` of each split. Row r of a split has the key that `key_of` gives it.

    `shape` is that of a picture's codes, in place of (1, num_codes).
    """
    shape = shape or (1, num_codes)
    num_codes = math.prod(shape)
    codes_schema = {"dtype": code_dtype(codebook), "shape": list(shape), "codebook": codebook}
    codes_schema |= {"codebooks": codebooks} if codebooks > 1 else {}
    entries = []
    for split, num_rows in rows.items():
        for number, start in enumerate(range(0, num_rows, block_rows * shard_blocks)):
            stop = min(start + block_rows * shard_blocks, num_rows)
            path = folder / f"{split}-{number:05d}.tar"
            blocks = make_blocks(name, split, range(start, stop), block_rows, num_codes, codebook)
            entries.append(
                write_shard(
                    path, blocks, block_rows=block_rows, codebook=codebook, vocab=VOCAB,
                    header={"format": "tuwen/shard", "version": 1}, text_width=text_width,
                )
            )  # fmt: skip
    tokenizer = {"name": "none", "sha256": "sha256:" + "0" * 64, "config_sha256": "sha256:" + "1" * 64}
    names = {split: [entry.name for entry in entries if entry.name.startswith(f"{split}-")] for split in rows}
    document = new_manifest(
        "shards",
        schema={
            "codes": codes_schema,
            "text": {"dtype": "<u2", "ragged": text_width is None, "vocab": VOCAB},
        },
        splits={split: {"samples": count, "shards": names[split]} for split, count in rows.items()},
        split_rule={"by": "hand"},
        leakage={"rule": "none", "checked": {}},
        licenses=[{"source": name, "license": "CC0-1.0", "attribution": "chance", "samples": sum(rows.values())}],
        shards=[entry.model_dump() for entry in entries],
        files=[],
        totals={"samples": sum(rows.values())},
        lineage={
            "parents": [],
            "recipe": {"name": name},
            "image_tokenizer": {**tokenizer, "codebook": codebook, "grid": list(shape[:2])},
            "text_tokenizer": {"name": "none", "sha256": "sha256:" + "2" * 64, "vocab": VOCAB},
        },
    )
    return save_manifest(folder, document)


def make_blocks(
    name: str, split: str, rows: range, block_rows: int, num_codes: int = 64, codebook: int = CODEBOOK
) -> Iterator[Block]:
    for start in range(rows.start, rows.stop, block_rows):
        chosen = range(start, min(start + block_rows, rows.stop))
        contents = [make_row(name, split, row, num_codes, codebook) for row in chosen]
        yield Block(np.stack([codes for codes, _ in contents]), [text for _, text in contents],
                    [make_meta(name, split, row) for row in chosen])  # fmt: skip


def make_row(
    name: str, split: str, row: int, num_codes: int = 64, codebook: int = CODEBOOK
) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Codes and caption ids, from the place alone."""
    generator = np.random.default_rng([row, *f"{name}/{split}".encode()])
    return generator.integers(0, codebook, num_codes), generator.integers(0, VOCAB, generator.integers(0, 9)).tolist()


def make_meta(name: str, split: str, row: int) -> dict[str, Any]:
    return {
        "key": key_of(name, split, row), "caption": f"第{row}张", "source": name, "license": "CC0-1.0",
        "crop": [0, 0, 8, 8], "pixels": f"{name}/{split}/{row}",
    }  # fmt: skip


def key_of(name: str, split: str, row: int) -> str:
    return f"{name}{split}".encode().hex().ljust(20, "0")[:20] + f"{row:012x}"
