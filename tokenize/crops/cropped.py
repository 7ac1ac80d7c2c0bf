"""The kept pictures of a corpus, cropped and resized for a tokenizer: the function of the stage `crop`.

    for picture, box in cropped(rows, part.roots, side_px=64):
        picture                       # uint8 (64, 64, 3)
        box                           # [left, top, right, bottom] in pixels of the original

Comes in: a part with the rows of some pairs. Goes out: `PART.npy`, uint8 (N, side, side, 3).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ...pipeline.executor.part import Part, PictureRoot
from ...pipeline.pictures.measured_pictures import measured_pictures
from ..image_codes import Pictures
from .boxes import CENTER, views_of
from .resample import rendered


class CropConfig(TypedDict):
    side_px: int


class CropSummary(TypedDict):
    pictures: int


def crop(part: Part[None], config: CropConfig, folder: Path) -> CropSummary:
    """Write the pictures of a part, one for each row. Raises CheckFailed if one has changed since it was measured."""
    rows = pq.read_table(part.input_path("rows"))
    pictures = np.stack([picture for picture, _ in cropped(rows, part.roots, config["side_px"])])
    np.save(folder / f"{part.name}.npy", pictures)
    return CropSummary(pictures=len(pictures))


def cropped(
    rows: pa.Table, roots: Mapping[str, PictureRoot], side_px: int, resize: str = "bicubic"
) -> Iterator[tuple[Pictures, list[int]]]:
    """Yield the picture (side, side, 3) and the crop box of each row, in order.

    A picture whose captions follow each other is decoded once. Raises CheckFailed if one has changed.
    """
    for same, picture in measured_pictures(rows, roots):
        yield from [fit_square(picture, side_px, resize)] * len(same)


def fit_square(picture: Image.Image, side_px: int, resize: str = "bicubic") -> tuple[Pictures, list[int]]:
    """Return the centre square, uint8 (side, side, 3), and its box in the original's pixels."""
    (view,) = views_of(picture.size, "", CENTER)
    return rendered(picture, view, side_px, resize), list(view.box)
