"""One tar of an export: the kept pairs of some pictures as WebDataset samples.

    KEY.jpg   the picture: its bytes as in the source, or encoded anew as the recipe says
    KEY.txt   its captions, one a line
    KEY.json  {"key", "keys", "captions", "source", "origin", "license", "url", "width", "height", "sha256", …}

Comes in: a part whose rows lie in a small Parquet file (`export`). Goes out: `PART.tar`, the same for the same rows.
The key is that of the picture's first kept pair; `keys` has that of each caption, by which `tuwen why` finds it again.
"""

import io
import tarfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TypedDict

import pyarrow.parquet as pq
from PIL import Image

from ...manifests.canonical import canonical_json
from ...manifests.shards.tar_member import add_member
from ..executor.part import Part, PictureRoot
from ..pictures.decode import decode
from ..pictures.measured_pictures import PictureLocation, read_unchanged

ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif",
           "AVIF": "avif"}  # fmt: skip
_JPEG_444 = 0  # chroma of full size: red on blue, as in drawings, does not blur


class ExportRow(PictureLocation):
    """A kept pair: the columns of the decision table that a tar is made of."""

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
    """How pictures are written; the keys of `export:` in a recipe."""

    pictures: str  # original, jpeg, webp, png
    quality: int
    max_side: int | None  # px


class ExportSummary(TypedDict):
    pairs: int
    pictures: int
    endings: list[str]  # of the pictures: jpg, png, …


def export_tar(part: Part[None], config: ExportConfig, folder: Path) -> ExportSummary:
    """Write the tar. Raises CheckFailed if a picture has changed since it was measured."""
    rows: list[ExportRow] = pq.read_table(part.input_path("rows")).to_pylist()
    pictures, endings = 0, set[str]()
    with (
        (folder / f"{part.name}.tar").open("wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for _, group in groupby(rows, key=picture_of):
            for name, data in _members(list(group), config, part.roots):
                add_member(tar, name, data)
                endings.add(name.partition(".")[2])
            pictures += 1
    return ExportSummary(pairs=len(rows), pictures=pictures, endings=sorted(endings - {"txt", "json"}))


def picture_of(row: ExportRow) -> tuple[str, str]:
    """What the rows of one picture, one for each of its captions, have in common."""
    return row["source"], row["origin"]


def _members(
    rows: list[ExportRow], config: ExportConfig, roots: Mapping[str, PictureRoot]
) -> Iterator[tuple[str, bytes]]:
    first = rows[0]
    data = read_unchanged(roots, first)
    ending, size = ENDINGS[first["format"]], (first["width"], first["height"])
    if config["pictures"] != "original":
        ending, size, data = _encoded(data, config)
    captions = [row["caption"] for row in rows]
    metadata = {name: first.get(name) for name in ("key", "source", "origin", "license", "url", "format", "cluster")}
    metadata |= {"width": size[0], "height": size[1], "sha256": first["image_sha256"], "captions": captions}
    metadata |= {"keys": [row["key"] for row in rows], "masked": [row["masked"] for row in rows]}
    yield f"{first['key']}.{ending}", data
    yield f"{first['key']}.json", canonical_json(metadata)
    yield f"{first['key']}.txt", "\n".join(captions).encode()


def _encoded(data: bytes, config: ExportConfig) -> tuple[str, tuple[int, int], bytes]:
    """(ending, size, bytes): upright, in sRGB on white, at most `max_side`, without EXIF."""
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
    return ENDINGS[kind.upper()], picture.size, buffer.getvalue()
