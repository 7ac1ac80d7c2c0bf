"""Pictures for a page that loads nothing: small WebPs as data URIs.

    pictures = SmallPictures(corpus)
    pictures.add(rows)          # reads what was measured of those that are not decoded anew
    pictures.of(row)            # "data:image/webp;base64,…", or "" when there is no picture

Only a picture that was measured without a problem, and whose bytes are those that were measured, is decoded: what
crashed a decoder then does not hang a page now. Of others, large or gone, the 32×32 thumbnail is shown.
"""

import base64
import hashlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...manifests.errors import BadInput
from ...manifests.manifest import Manifest
from ..open_source import roots_of
from ..pictures.decode import decode
from ..sources.reader import read_picture
from .corpus_parts import Row, measured_thumbnails, pixels_of

SIDE_PX = 144  # twice what the page gives it, for dense screens
_MOST_PIXELS = 16_000_000  # a photograph of 12 million takes 0.15 s; hundreds are shown
_VEILED_PX = 8  # an unsafe picture as a few coloured squares


class SmallPictures:
    def __init__(self, corpus: Manifest) -> None:
        self._corpus = corpus
        self._roots = roots_of(corpus)
        self._found: dict[str, str] = {}

    def add(self, rows: list[Row]) -> None:
        rows = [row for row in rows if row["width"] and row["key"] not in self._found]
        decoded = {row["key"]: self._decoded(row) for row in rows}
        left = [row for row in rows if decoded[row["key"]] is None]
        measured = measured_thumbnails(self._corpus, [row for row in left if "part" in row])
        measured |= {row["key"]: pixels_of(row["thumbnail"]) for row in left if row.get("thumbnail")}
        for row in rows:
            picture = decoded[row["key"]] or _enlarged(measured.get(row["key"]), row)
            if picture is not None:
                self._found[row["key"]] = _small(picture, _VEILED_PX if row["reason"] == "unsafe" else SIDE_PX)

    def of(self, row: Row) -> str:
        return self._found.get(row["key"], "")

    def _decoded(self, row: Row) -> Image.Image | None:
        """Already small: hundreds are held until those that lack are read from the measures."""
        if row["width"] * row["height"] > _MOST_PIXELS or row["source"] not in self._roots:
            return None
        try:
            data = read_picture(self._roots[row["source"]], row["origin"], row["offset"], row["bytes"])
        except (OSError, ValueError, BadInput):  # the sources may have moved since: the page shows what it can
            return None
        if hashlib.sha256(data).hexdigest() != row["image_sha256"]:
            return None
        picture = decode(data, _MOST_PIXELS).picture
        if picture is not None:
            picture.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
        return picture


def file_uri(path: Path) -> str:
    return _data_uri(path.read_bytes(), path.suffix[1:]) if path.is_file() else ""


def _enlarged(pixels: NDArray[np.uint8] | None, row: Row) -> Image.Image | None:
    """A square thumbnail in the proportions of its picture."""
    if pixels is None:
        return None
    longer = max(row["width"], row["height"])
    size = (max(1, SIDE_PX * row["width"] // longer), max(1, SIDE_PX * row["height"] // longer))
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def _small(picture: Image.Image, side_px: int) -> str:
    picture.thumbnail((side_px, side_px), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=78)
    return _data_uri(buffer.getvalue(), "webp")


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
