"""One shard from its slice of the decision table: the function of the stage `tokenize`.

Comes in: a part with the rows of a shard, and the tokenizers. Goes out: `PART.tar`, and its entry for the manifest.
Pictures are encoded in fixed batches with one thread, so the bytes depend on the rows, the settings and the tokenizers
alone.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from ..manifests.errors import CheckFailed
from ..manifests.shards.block_shard import Block, code_dtype, write_shard
from ..pipeline.executor.part import InputFile, Part, PictureRoot
from .caption_ids import CaptionIds
from .crops import cropped
from .image_codes import ImageCodes
from .open_image_codes import open_image_codes

_ENCODE_ROWS = 64  # pictures in memory at a time; a multiple of the tokenizer's own batch


class EncodeConfig(TypedDict):
    block_rows: int
    text_max_tokens: int  # longer captions are trimmed
    text_width: int | None  # of padded captions; None: they are ragged
    image_tokenizer: dict[str, Any]  # JSON of its identity
    text_tokenizer: str  # sha256


def encode_shard(part: Part[None], config: EncodeConfig, folder: Path) -> dict[str, Any]:
    """Returns the JSON of the shard's entry in the manifest. Raises CheckFailed when a tokenizer is another one."""
    torch.set_num_threads(1)  # sums in another order would be other codes now and then
    image_codes = open_image_codes(part.input_path("image_tokenizer"))
    if image_codes.identity.document() != config["image_tokenizer"]:
        raise CheckFailed(
            f"{part.input_path('image_tokenizer')}: another tokenizer than was asked for", cure="give the command again"
        )
    caption_ids = _caption_ids(part.inputs["text_model"])
    rows = pq.read_table(part.input_path("rows")).to_pylist()
    num_trimmed = 0

    def block(start: int) -> Block:
        nonlocal num_trimmed
        chosen = rows[start : start + config["block_rows"]]
        codes, boxes = _encode_rows(chosen, part.roots, image_codes)
        text = [caption_ids.encode(row["caption"]) for row in chosen]
        num_trimmed += sum(len(ids) > config["text_max_tokens"] for ids in text)
        meta = [_meta(row, box) for row, box in zip(chosen, boxes, strict=True)]
        return Block(codes, [ids[: config["text_max_tokens"]] for ids in text], meta)

    entry = write_shard(
        folder / f"{part.name}.tar",
        (block(start) for start in range(0, len(rows), config["block_rows"])),
        block_rows=config["block_rows"],
        codebook=image_codes.identity.codebook,
        vocab=caption_ids.vocab,
        text_width=config["text_width"],
        header={
            "format": "tuwen/shard",
            "version": 1,
            "schema": array_schema(image_codes, caption_ids, config["text_width"]),
            "image_tokenizer": config["image_tokenizer"],
            "text_tokenizer": config["text_tokenizer"],
        },
    )
    document = entry.model_dump()
    document["stats"]["captions_trimmed"] = num_trimmed
    return document


def array_schema(image_codes: ImageCodes, caption_ids: CaptionIds, width: int | None) -> dict[str, Any]:
    """What a manifest, and every shard, says of the arrays."""
    identity = image_codes.identity
    text = {"dtype": code_dtype(caption_ids.vocab), "ragged": width is None, "vocab": caption_ids.vocab}
    return {
        "codes": {"dtype": code_dtype(identity.codebook), "shape": list(identity.grid), "codebook": identity.codebook},
        "text": text if width is None else {**text, "width": width},
        "meta": {"encoding": "jsonl", "fields": ["key", "caption", "source", "license", "crop", "pixels"]},
    }


def _meta(row: dict[str, Any], box: list[int]) -> dict[str, Any]:
    copied = {name: row[name] for name in ("key", "caption", "source", "license")}
    return {**copied, "crop": box, "pixels": row["pixels_hash"]}


def _encode_rows(
    rows: list[dict[str, Any]], roots: Mapping[str, PictureRoot], image_codes: ImageCodes
) -> tuple[NDArray[np.int64], list[list[int]]]:
    """Codes (len(rows), h·w), and the crop box of each."""
    codes: list[NDArray[np.int64]] = []
    boxes: list[list[int]] = []
    for start in range(0, len(rows), _ENCODE_ROWS):
        crops = cropped(rows[start : start + _ENCODE_ROWS], roots, image_codes.identity.side_px)
        pictures, boxes_here = zip(*crops, strict=True)
        codes.append(image_codes.encode(np.stack(pictures)).reshape(len(pictures), -1))
        boxes += boxes_here
    return np.concatenate(codes), boxes


@functools.cache
def _caption_ids(model: InputFile) -> CaptionIds:
    caption_ids = CaptionIds(Path(model.path).read_bytes())
    if caption_ids.sha256 != model.sha256:
        raise CheckFailed(f"{model.path}: changed while shards were written", cure="give the command again")
    return caption_ids
