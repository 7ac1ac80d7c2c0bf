"""The kept pictures of a corpus, cropped and resized for a tokenizer, part by part.

    pictures = load_crops(run_stage(CROP, parts, config, folder, run), folder)        # uint8 (N, side, side, 3)

A part is a slice of the decision table that lies on disk as a small Parquet file; each row says where its picture
is, so nothing but the rows' own bytes is read again.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ..manifests.atomic import whole_file
from ..manifests.canonical import sha256_of_file
from ..manifests.errors import CheckFailed
from ..pipeline.executor.part import InputFile, Part, PartResult, PictureRoot
from ..pipeline.pictures.decode import decode
from ..pipeline.pictures.measured_pictures import read_unchanged
from .image_codes import Pictures

_CURE = "run `tuwen corpus` again"

PLAN_COLUMNS = [
    "key",
    "source",
    "origin",
    "offset",
    "bytes",
    "license",
    "caption",
    "image_sha256",
    "pixels_hash",
    "cluster",
]


def plan_parts(
    rows: pa.Table, roots: Mapping[str, PictureRoot], folder: Path, name: str, part_rows: int
) -> list[Part[None]]:
    """Cut `rows` into slices of `part_rows`, each a file in `folder` and a part for `run_stage`."""
    parts = []
    for number, start in enumerate(range(0, len(rows), part_rows)):
        path = folder / f"{name}-{number:05d}.parquet"
        with whole_file(path) as temporary:
            pq.write_table(rows.slice(start, part_rows).select(PLAN_COLUMNS).combine_chunks(), temporary)
        slice_ = InputFile(str(path.resolve()), sha256_of_file(path))
        parts.append(Part[None](f"{name}-{number:05d}", None, {"rows": slice_}, roots))
    return parts


class CropConfig(TypedDict):
    side_px: int


def crop(part: Part[None], config: CropConfig, folder: Path) -> dict[str, int]:
    rows = pq.read_table(part.input_path("rows")).to_pylist()
    pictures = np.stack([picture for picture, _ in cropped(rows, part.roots, config["side_px"])])
    np.save(folder / f"{part.name}.npy", pictures)
    return {"pictures": len(pictures)}


def cropped(
    rows: list[dict[str, Any]], roots: Mapping[str, PictureRoot], side_px: int
) -> Iterator[tuple[Pictures, list[int]]]:
    """The picture (side, side, 3) and the crop box of each row. Raises CheckFailed if a picture has changed."""
    for row in rows:
        data = read_unchanged(roots, row)
        decoded = decode(data, max_pixels=1 << 62)  # the corpus has judged its size already
        if decoded.picture is None:
            raise CheckFailed(f"{row['source']}/{row['origin']}: can no longer be decoded", cure=_CURE)
        yield fit_square(decoded.picture, side_px)


def fit_square(picture: Image.Image, side: int) -> tuple[Pictures, list[int]]:
    """Centre-crop to a square and resize; returns (side, side, 3) and the crop box in the original's pixels."""
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    box = (left, top, left + edge, top + edge)
    square = picture.crop(box).resize((side, side), Image.Resampling.BICUBIC)  # resize(box=) would look beyond the box
    return np.asarray(square, dtype=np.uint8), list(box)


def load_crops(results: list[PartResult[Any]], folder: Path) -> Pictures:
    return np.concatenate([np.load(result.file(folder).path) for result in results])
