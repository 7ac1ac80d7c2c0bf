"""One shard from its rows of the decision table: the function of the stage `tokenize`.

Comes in: a part whose inputs are `rows` (Parquet, see `plan_parts`), `image_weights`, `image_config` and `text_model`.
Goes out: `PART.tar`, and its entry for the manifest.

One thread encodes the pictures in fixed batches, so the bytes depend on the rows, the settings and the tokenizers
alone.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ..manifests.documents import Json
from ..manifests.errors import CheckFailed
from ..manifests.shards.block_shard import Block, write_shard
from ..manifests.shards.row_meta import RowMeta
from ..pipeline.executor.part import InputFile, Part, PictureRoot
from .caption_ids import CaptionIds, open_caption_ids
from .crops.cropped import cropped
from .image_codes import Codes, ImageCodes
from .read_image_codes import read_image_codes
from .shard_header import ShardHeader

if TYPE_CHECKING:
    from .plan_parts import PlanRow

_ENCODE_ROWS = 64  # pictures in memory at a time; a multiple of the tokenizer's own batch


class EncodeConfig(TypedDict):
    block_rows: int
    text_max_tokens: int  # longer captions are trimmed
    header: ShardHeader


def encode_shard(part: Part[None], config: EncodeConfig, folder: Path) -> Json:
    """Write the shard and return its entry in the manifest as JSON.

    Raises CheckFailed if a picture or a tokenizer has changed.
    """
    torch.set_num_threads(1)  # more threads add in another order, which changes a code now and then
    image_codes = _image_codes(part.inputs["image_weights"], part.inputs["image_config"])
    caption_ids = _caption_ids(part.inputs["text_model"])
    rows = pq.read_table(part.input_path("rows"))
    text = [caption_ids.encode(caption) for caption in rows["caption"].to_pylist()]
    trimmed = [ids[: config["text_max_tokens"]] for ids in text]
    header = config["header"]
    entry = write_shard(
        folder / f"{part.name}.tar",
        _blocks(rows, trimmed, part.roots, image_codes, config["block_rows"]),
        block_rows=config["block_rows"],
        codebook=header["schema"]["codes"]["codebook"],
        vocab=header["schema"]["text"]["vocab"],
        text_width=header["schema"]["text"].get("width"),
        header=dict(header),
    )
    document = entry.model_dump()
    document["stats"]["captions_trimmed"] = sum(len(ids) > config["text_max_tokens"] for ids in text)
    return document


def _blocks(
    rows: pa.Table, text: list[list[int]], roots: Mapping[str, PictureRoot], image_codes: ImageCodes, block_rows: int
) -> Iterator[Block]:
    for start in range(0, len(rows), block_rows):
        block = rows.slice(start, block_rows)
        codes, boxes = _encode_pictures(block, roots, image_codes)
        meta = [_meta(row, box) for row, box in zip(block.to_pylist(), boxes, strict=True)]
        yield Block(codes, text[start : start + block_rows], meta)


def _encode_pictures(
    rows: pa.Table, roots: Mapping[str, PictureRoot], image_codes: ImageCodes
) -> tuple[Codes, list[list[int]]]:
    """Codes (len(rows), h·w), and the crop box of each row."""
    codes: list[Codes] = []
    boxes: list[list[int]] = []
    for start in range(0, len(rows), _ENCODE_ROWS):
        crops = cropped(
            rows.slice(start, _ENCODE_ROWS), roots, image_codes.identity.side_px, image_codes.identity.resize
        )
        pictures, batch_boxes = zip(*crops, strict=True)
        codes.append(image_codes.encode(np.stack(pictures)).reshape(len(pictures), -1))
        boxes += batch_boxes
    return np.concatenate(codes), boxes


def _meta(row: "PlanRow", box: list[int]) -> RowMeta:
    return RowMeta(
        key=row["key"],
        caption=row["caption"],
        source=row["source"],
        license=row["license"],
        crop=box,
        pixels=row["pixels_hash"],
    )


@functools.cache  # by path and hash: a worker lives longer than a command that another tokenizer follows
def _image_codes(weights: InputFile, config: InputFile) -> ImageCodes:
    image_codes = read_image_codes(Path(weights.path), Path(config.path))
    identity = image_codes.identity
    if (identity.sha256, identity.config_sha256) != (weights.sha256, config.sha256):
        raise _changed(weights)
    return image_codes


@functools.cache
def _caption_ids(model: InputFile) -> CaptionIds:
    caption_ids = open_caption_ids(Path(model.path).read_bytes())
    if caption_ids.sha256 != model.sha256:
        raise _changed(model)
    return caption_ids


def _changed(file: InputFile) -> CheckFailed:
    return CheckFailed(f"{file.path}: changed while shards were written", cure="give the command again")
