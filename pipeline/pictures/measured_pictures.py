"""The pictures of measured pairs once more, for scores that are asked of some pairs, some time after the first decode.

for rows, picture in measured_pictures(table, part.roots):
    ...          # rows: which rows of the table this upright RGB picture belongs to (one for each caption)
"""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import groupby, islice
from typing import Any, TypeVar

import pyarrow as pa
from PIL import Image

from ...manifests.errors import CheckFailed
from ..executor.part import PictureRoot
from ..sources.reader import read_picture
from .decode import decode

Item = TypeVar("Item")

LOCATION_COLUMNS = ["source", "origin", "offset", "bytes", "image_sha256"]


def measured_pictures(table: pa.Table, roots: Mapping[str, PictureRoot]) -> Iterator[tuple[list[int], Image.Image]]:
    """`table` has LOCATION_COLUMNS; rows of one picture follow each other. Raises CheckFailed if one has changed."""
    rows = enumerate(table.select(LOCATION_COLUMNS).to_pylist())
    for _, group in groupby(rows, key=lambda numbered: (numbered[1]["source"], numbered[1]["origin"])):
        same = list(group)
        row = same[0][1]
        picture = decode(read_unchanged(roots, row), max_pixels=1 << 62).picture  # the corpus has judged its size
        if picture is None:
            raise CheckFailed(f"{_name(row)}: can no longer be decoded", cure="run `tuwen corpus` again")
        yield [number for number, _ in same], picture


def in_batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Always the same items together, so that a model's sums are the same, too."""
    while batch := list(islice(items, size)):
        yield batch


def read_unchanged(roots: Mapping[str, PictureRoot], row: dict[str, Any]) -> bytes:
    """The bytes of a picture, if they are those that were measured. Raises CheckFailed if not."""
    data = read_picture(roots[row["source"]], row["origin"], row["offset"], row["bytes"])
    if hashlib.sha256(data).hexdigest() != row["image_sha256"]:
        raise CheckFailed(f"{_name(row)}: changed since it was measured", cure="run `tuwen corpus` again")
    return data


def _name(row: dict[str, Any]) -> str:
    return f"{row['source']}/{row['origin']}"
