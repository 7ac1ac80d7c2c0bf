"""Small WebP pictures as data URIs, for a page that loads nothing.

    pictures = SmallPictures(corpus)
    pictures.add(rows)          # decodes them, or reads their thumbnails from the measures
    pictures.of(row)            # "data:image/webp;base64,…", or "" when there is no picture

A picture is decoded only if it was measured without a problem and its bytes are still those that were measured, so
what crashed a decoder then does not crash it now. The 32×32 thumbnail is shown for pictures that are large or missing.
"""

import base64
import hashlib
import io
from pathlib import Path

from PIL import Image

from ...manifests.errors import BadInput
from ...manifests.manifest import Manifest
from ..open_source import roots_of
from ..pictures.decode import decode
from ..reasons import Row
from ..sources.reader import read_picture
from .corpus_parts import Thumbnail, measured_thumbnails, pixels_of

SIDE_PX = 144  # twice its size on the page, for dense screens
_MOST_PIXELS = 16_000_000  # a photograph of 12 million takes 0.15 s; hundreds are shown
_VEILED_PX = 8  # an unsafe picture as a few coloured squares


class SmallPictures:
    def __init__(self, corpus: Manifest) -> None:
        self._corpus = corpus
        self._roots = roots_of(corpus)
        self._uris: dict[str, str] = {}  # by key

    def add(self, rows: list[Row]) -> None:
        rows = [row for row in rows if row["width"] and row["key"] not in self._uris]
        decoded = {row["key"]: self._decoded(row) for row in rows}
        missing = [row for row in rows if decoded[row["key"]] is None]
        thumbnails = measured_thumbnails(self._corpus, [row for row in missing if "part" in row])
        thumbnails |= {row["key"]: pixels_of(row["thumbnail"]) for row in missing if row.get("thumbnail")}
        for row in rows:
            picture = decoded[row["key"]] or _enlarged(thumbnails.get(row["key"]), row)
            if picture is not None:
                self._uris[row["key"]] = _webp_uri(picture, _VEILED_PX if row["reason"] == "unsafe" else SIDE_PX)

    def of(self, row: Row) -> str:
        return self._uris.get(row["key"], "")

    def _decoded(self, row: Row) -> Image.Image | None:
        """The picture at the size of the page: hundreds are held at a time. None if it is large, missing or changed."""
        if row["width"] * row["height"] > _MOST_PIXELS or row["source"] not in self._roots:
            return None
        try:
            data = read_picture(self._roots[row["source"]], row["origin"], row["offset"], row["bytes"])
        except (OSError, ValueError, BadInput):  # the sources may have moved since
            return None
        if hashlib.sha256(data).hexdigest() != row["image_sha256"]:
            return None
        picture = decode(data, _MOST_PIXELS).picture
        if picture is not None:
            picture.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
        return picture


def file_uri(path: Path) -> str:
    """The file as a data URI; empty if it does not exist."""
    return _data_uri(path.read_bytes(), path.suffix[1:]) if path.is_file() else ""


def _enlarged(thumbnail: Thumbnail | None, row: Row) -> Image.Image | None:
    """A square thumbnail stretched to the proportions of its picture."""
    if thumbnail is None:
        return None
    longer = max(row["width"], row["height"])
    size = (max(1, SIDE_PX * row["width"] // longer), max(1, SIDE_PX * row["height"] // longer))
    return Image.fromarray(thumbnail).resize(size, Image.Resampling.BICUBIC)


def _webp_uri(picture: Image.Image, side_px: int) -> str:
    picture.thumbnail((side_px, side_px), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=78)
    return _data_uri(buffer.getvalue(), "webp")


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
