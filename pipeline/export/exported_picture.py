"""The pictures of a part of an export, with their kept pairs: what every format writes, each in its own way.

for picture in exported_pictures(part, config):
    picture.name, picture.data             # "0f31….jpg", its bytes as in the source, or encoded anew
    picture.rows                           # its kept pairs, one for each caption

The ending is told by the content, whatever the file was called.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypedDict

import pyarrow.parquet as pq
from PIL import Image

from ..executor.part import Part
from ..pictures.decode import decode
from ..pictures.measured_pictures import PictureLocation, read_unchanged

ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif",
           "AVIF": "avif"}  # fmt: skip
_JPEG_444 = 0  # chroma of full size: red on blue, as in drawings, does not blur


class ExportRow(PictureLocation):
    """A kept pair: the columns of the decision table that an export is made of."""

    key: str
    license: str
    url: str | None
    caption: str
    masked: str  # kinds of personal data, with commas between
    width: int  # px
    height: int
    format: str  # Pillow's
    cluster: str


EXPORTED = list(ExportRow.__annotations__)


class ExportConfig(TypedDict):
    """How pictures are written; keys of `export:` in a recipe."""

    pictures: str  # original, jpeg, webp, png
    quality: int
    max_side: int | None  # px


class ExportSummary(TypedDict):
    pairs: int
    pictures: int
    endings: list[str]  # of the pictures: jpg, png, …


@dataclass(frozen=True)
class ExportedPicture:
    rows: list[ExportRow]  # not empty
    ending: str
    width: int  # px
    height: int
    data: bytes

    @property
    def first(self) -> ExportRow:
        return self.rows[0]

    @property
    def name(self) -> str:
        """Its file's name: the key of its first kept pair."""
        return f"{self.first['key']}.{self.ending}"


def exported_pictures(part: Part[Any], config: ExportConfig) -> Iterator[ExportedPicture]:
    """Raises CheckFailed if a picture has changed since it was measured."""
    rows: list[ExportRow] = pq.read_table(part.input_path("rows")).to_pylist()
    for _, group in groupby(rows, key=picture_of):
        same = list(group)
        first = same[0]
        data = read_unchanged(part.roots, first)
        if config["pictures"] == "original":
            yield ExportedPicture(same, ENDINGS[first["format"]], first["width"], first["height"], data)
        else:
            yield _encoded(same, data, config)


def picture_of(row: ExportRow) -> tuple[str, str]:
    """What the rows of one picture, one for each of its captions, have in common."""
    return row["source"], row["origin"]


def _encoded(rows: list[ExportRow], data: bytes, config: ExportConfig) -> ExportedPicture:
    """Upright, in sRGB on white, at most `max_side`, without EXIF."""
    picture = decode(data, max_pixels=1 << 62).picture
    assert picture is not None, "it was measured, and its bytes are unchanged"
    if config["max_side"] is not None:
        picture.thumbnail((config["max_side"], config["max_side"]), Image.Resampling.LANCZOS)
    options: dict[str, dict[str, int]] = {
        "jpeg": {"quality": config["quality"], "subsampling": _JPEG_444},
        "webp": {"quality": config["quality"]},
        "png": {},
    }
    kind = config["pictures"]
    buffer = io.BytesIO()
    picture.save(buffer, kind.upper(), **options[kind])
    return ExportedPicture(rows, ENDINGS[kind.upper()], picture.width, picture.height, buffer.getvalue())
