"""A stretch of rows → their samples: pictures are cropped and encoded, captions become ids.

    encoded = encode_rows(rows, items, encoders, captions, plan)        # items: those of `crops_of`

Pictures are encoded in chunks that fill the tokenizers' batches whatever the number of crops and captions of a picture,
and each picture once. The codes of a row depend on its picture, its crop and the tokenizers alone.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...manifests.shards.row_meta import RowMeta
from ...pipeline.pictures.measured_pictures import in_batches
from ..caption_ids import CaptionIds
from ..image_codes import ImageCodes, Pictures
from ..quality import Quality, quality_of_codes
from .crops_ahead import CropItem, CropPlan, LostCrop
from .encoded_rows import EncodedRows, Facts, LostPair
from .in_background import in_background

if TYPE_CHECKING:
    from ..plan_parts import PlanRow

_CHUNK_PICTURES = 64  # in memory at a time, at least


class EncodePlan(TypedDict):
    crops: CropPlan
    text_max_tokens: int  # longer captions are trimmed
    quality_rows: int  # pictures of a stretch that are decoded again


@dataclass
class _Stopwatch:
    seconds: float = 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *error: object) -> None:
        self.seconds += time.monotonic() - self._began


@dataclass
class _Found:
    """What comes together while the pictures of a stretch are encoded."""

    codes: dict[str, list[NDArray[Any]]]  # by array, of each encoded view
    views: list[CropItem] = field(default_factory=list)  # without their pictures
    lost: list[LostCrop] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)  # views whose pictures are kept for the gate
    originals: dict[str, list[Pictures]] = field(default_factory=dict)


def encode_rows(
    rows: pa.Table,
    items: Iterable[CropItem | LostCrop],
    encoders: Mapping[str, ImageCodes],
    captions: CaptionIds,
    plan: EncodePlan,
    ahead: bool = False,
    on_rows: Callable[[int, float], None] = lambda done, seconds: None,
) -> EncodedRows:
    """`encoders` are by array of codes. With `ahead` a thread collects pictures while others are encoded.

    `on_rows` hears how many rows are done, and how many seconds encoders were busy.
    """
    began, encoding = time.monotonic(), _Stopwatch()
    found = _encode_pictures(items, len(rows), encoders, plan, ahead, encoding, on_rows)
    codes = {array: np.concatenate(parts) if parts else _none(encoders[array]) for array, parts in found.codes.items()}
    text = [captions.encode(caption) for caption in rows["caption"].to_pylist()]
    quality = {
        array: quality_of_codes(encoder, np.stack(found.originals[array]), codes[array][found.shown], codes[array])
        for array, encoder in encoders.items()
        if found.shown and encoder.identity.decodes
    }
    # In the order of the rows, and of the crops of a row; views stand in the order of their pictures.
    samples = sorted((row, number, view) for view, item in enumerate(found.views) for row, number in item.samples)
    lines: list[PlanRow] = rows.to_pylist()
    order = [view for _, _, view in samples]
    return EncodedRows(
        meta=[_meta(lines[row], number, found.views[view]) for row, number, view in samples],
        text=[text[row][: plan["text_max_tokens"]] for row, _, _ in samples],
        codes={array: values[order].reshape(len(order), _width(encoders[array])) for array, values in codes.items()},
        facts=Facts(
            lost=[
                LostPair(key=lines[row]["key"], reason=lost.loss.reason, problem=lost.loss.problem)
                for lost in found.lost
                for row in lost.rows
            ],
            quality={array: _decimals(measured) for array, measured in quality.items()},
            trimmed=sum(len(text[row]) > plan["text_max_tokens"] for row, _, _ in samples),
            encoding_ms=round(1000 * encoding.seconds),
            elapsed_ms=round(1000 * (time.monotonic() - began)),
        ),
    )


def _encode_pictures(
    items: Iterable[CropItem | LostCrop],
    num_rows: int,
    encoders: Mapping[str, ImageCodes],
    plan: EncodePlan,
    ahead: bool,
    encoding: _Stopwatch,
    on_rows: Callable[[int, float], None],
) -> _Found:
    found = _Found(codes={array: [] for array in encoders}, originals={array: [] for array in encoders})
    every = max(1, num_rows // plan["quality_rows"]) if plan["quality_rows"] else num_rows
    next_shown = 0 if plan["quality_rows"] else num_rows
    chunks = _stacked(in_batches(_kept(items, found.lost), _chunk_size(encoders.values())), list(encoders))
    for chunk, pictures in in_background(chunks, ahead=2) if ahead else chunks:
        for array, encoder in encoders.items():
            with encoding:
                found.codes[array].append(encoder.encode(pictures[array]))
        for item in chunk:
            row = item.samples[0][0]
            if row >= next_shown:
                next_shown = row + every
                found.shown.append(len(found.views))
                for array, picture in item.pictures.items():
                    found.originals[array].append(picture)
            found.views.append(CropItem(item.view, {}, item.samples))
        on_rows(row, encoding.seconds)
    return found


def _stacked(
    chunks: Iterable[list[CropItem]], arrays: list[str]
) -> Iterator[tuple[list[CropItem], dict[str, Pictures]]]:
    for chunk in chunks:
        yield chunk, {array: np.stack([item.pictures[array] for item in chunk]) for array in arrays}


def _kept(items: Iterable[CropItem | LostCrop], lost: list[LostCrop]) -> Iterator[CropItem]:
    for item in items:
        if isinstance(item, LostCrop):
            lost.append(item)
        else:
            yield item


def _chunk_size(encoders: Iterable[ImageCodes]) -> int:
    """At least 64, and whole batches of each tokenizer: half-filled ones would cost as much as full ones."""
    whole = int(np.lcm.reduce([encoder.batch for encoder in encoders]))
    return whole * -(-_CHUNK_PICTURES // whole)


def _meta(row: "PlanRow", number: int, item: CropItem) -> RowMeta:
    meta = RowMeta(
        key=f"{row['key']}-{number}" if number else row["key"],
        caption=row["caption"],
        source=row["source"],
        license=row["license"],
        crop=list(item.view.box),
        pixels=row["pixels_hash"],
    )
    if item.view.mirrored:
        meta["mirrored"] = True
    return meta


def _width(encoder: ImageCodes) -> int:
    return prod(encoder.identity.shape)


def _none(encoder: ImageCodes) -> NDArray[np.int64]:
    return np.zeros((0, *encoder.identity.shape), np.int64)


def _decimals(quality: Quality) -> dict[str, str]:
    return {name: str(value) for name, value in quality.items()}
