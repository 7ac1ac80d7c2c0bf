"""The pictures of measured pairs once more, for scores that are asked of some pairs, some time after the first decode.

for rows, picture in measured_pictures(table, Path("data/photos")):
    ...          # rows: which rows of the table this upright RGB picture belongs to (one for each caption)
"""

import hashlib
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from PIL import Image

from ...manifests.errors import CheckFailed
from ..sources.kinds import read_picture
from .decode import decode

Item = TypeVar("Item")

PLACE_COLUMNS = ["origin", "offset", "bytes", "image_sha256"]


def measured_pictures(table: pa.Table, root: Path) -> Iterator[tuple[list[int], Image.Image]]:
    """`table` has PLACE_COLUMNS; rows of one picture follow each other. Raises CheckFailed if a picture has changed."""
    rows = enumerate(table.select(PLACE_COLUMNS).to_pylist())
    for origin, group in groupby(rows, key=lambda numbered: numbered[1]["origin"]):
        same = list(group)
        data = read_unchanged(root, same[0][1])
        picture = decode(data, max_pixels=1 << 62).picture  # the corpus has judged its size already
        if picture is None:
            raise CheckFailed(f"{root / origin}: can no longer be decoded", cure="run `tuwen corpus` again")
        yield [number for number, _ in same], picture


def in_batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Always the same items together, so that a model's sums are the same, too."""
    while batch := list(islice(items, size)):
        yield batch


def read_unchanged(root: Path, row: dict[str, Any]) -> bytes:
    """The bytes of a picture, if they are those that were measured. Raises CheckFailed if not."""
    data = read_picture(root, row["origin"], row["offset"], row["bytes"])
    if hashlib.sha256(data).hexdigest() != row["image_sha256"]:
        raise CheckFailed(f"{root / row['origin']}: changed since it was measured", cure="run `tuwen corpus` again")
    return data
