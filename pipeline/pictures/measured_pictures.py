"""Measured pictures, decoded again: for scores that are computed for some pairs, some time after the first decode.

for rows, picture in measured_pictures(table, part.roots):
    ...          # rows: which rows of the table have this upright RGB picture (one for each caption)
"""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import groupby, islice
from typing import NamedTuple, TypedDict, TypeVar

import pyarrow as pa
from PIL import Image

from ...manifests.errors import CheckFailed
from ..executor.part import PictureRoot
from ..sources.reader import PictureLost, read_picture
from .decode import decode

Item = TypeVar("Item")


class PictureLocation(TypedDict):
    """The columns of MEASURES by which a picture is read again."""

    source: str
    origin: str
    offset: int  # of the picture in its tar; 0 for a file of its own
    bytes: int
    image_sha256: str


LOCATION_COLUMNS = list(PictureLocation.__annotations__)


class LostPicture(NamedTuple):
    """Why a picture cannot be had again."""

    reason: str  # gone, changed, unreadable (the disk or the file around it fails), undecodable
    problem: str  # a line for people


def measured_pictures(table: pa.Table, roots: Mapping[str, PictureRoot]) -> Iterator[tuple[list[int], Image.Image]]:
    """The pictures of `table`, in which rows of one picture are adjacent. Raises CheckFailed if one was lost."""
    for rows, picture in pictures_or_losses(table, roots):
        if isinstance(picture, LostPicture):
            raise CheckFailed(picture.problem, cure="restore it, or run `tuwen corpus` again")
        yield rows, picture


def pictures_or_losses(
    table: pa.Table, roots: Mapping[str, PictureRoot]
) -> Iterator[tuple[list[int], Image.Image | LostPicture]]:
    """As `measured_pictures`; a picture that was lost comes as the reason."""
    rows = enumerate(table.select(LOCATION_COLUMNS).to_pylist())
    for _, group in groupby(rows, key=lambda numbered: (numbered[1]["source"], numbered[1]["origin"])):
        same = list(group)
        yield [number for number, _ in same], _picture(roots, same[0][1])


def _picture(roots: Mapping[str, PictureRoot], row: PictureLocation) -> Image.Image | LostPicture:
    try:
        data = read_picture(roots[row["source"]], row["origin"], row["offset"], row["bytes"])
    except PictureLost as error:
        return LostPicture(error.reason, error.problem)
    except Exception as error:  # an archive that was cut, a disk that fails: each reader has errors of its own
        return LostPicture("unreadable", f"{_name(row)}: {' '.join(str(error).split()) or type(error).__name__}")
    if hashlib.sha256(data).hexdigest() != row["image_sha256"]:
        return LostPicture("changed", f"{_name(row)}: changed since it was measured")
    picture = decode(data, max_pixels=1 << 62).picture  # the corpus has judged its size
    return picture or LostPicture("undecodable", f"{_name(row)}: can no longer be decoded")


def in_batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Batches that depend on the items alone, so that a model's sums do, too."""
    while batch := list(islice(items, size)):
        yield batch


def read_unchanged(roots: Mapping[str, PictureRoot], row: PictureLocation) -> bytes:
    """The bytes of a measured picture. Raises CheckFailed if they are not those that were measured."""
    data = read_picture(roots[row["source"]], row["origin"], row["offset"], row["bytes"])
    if hashlib.sha256(data).hexdigest() != row["image_sha256"]:
        raise CheckFailed(f"{_name(row)}: changed since it was measured", cure="run `tuwen corpus` again")
    return data


def _name(row: PictureLocation) -> str:
    return f"{row['source']}/{row['origin']}"
