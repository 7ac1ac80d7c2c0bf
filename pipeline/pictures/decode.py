"""Decodes the bytes of a picture to upright RGB, or names the problem.

    decoded = decode(data, max_pixels=50_000_000)
    decoded.picture, decoded.format          # or: decoded.problem == "truncated"

The format is told by the content, never by a name. Size is read from the header and refused there, before any pixel
is decoded. A truncated file is a problem, never a half-grey picture. Of an animation the first frame is taken.
"""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, ImageFile, UnidentifiedImageError

from .broken_files import has_broken_checksum, is_cut, is_known, other_format, was_cut_and_closed
from .upright_rgb import Upright, orientation_of, upright_rgb

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

Image.MAX_IMAGE_PIXELS = None  # our own check comes first and counts as a verdict, not as an exception in mid-decode
ImageFile.LOAD_TRUNCATED_IMAGES = False


@dataclass(frozen=True)
class Decoded:
    picture: Image.Image | None  # RGB, upright
    format: str | None = None
    mode: str | None = None  # before conversion
    problem: str | None = None
    frames: int | None = None
    upright: Upright | None = None  # what had to be done to make it upright RGB
    jpeg_tables: dict[int, list[int]] | None = None


def decode(data: bytes, max_pixels: int) -> Decoded:
    """The picture, or its problem: nothing that is in `data` makes it raise."""
    if not data:
        return Decoded(None, problem="empty_file")
    if other := other_format(data):
        return Decoded(None, format=other, problem="svg" if other == "SVG" else "unsupported_format")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Exception as error:  # Pillow's parsers raise nearly anything on hostile bytes
            unknown = isinstance(error, UnidentifiedImageError) and not is_known(data)
            reason = "not_a_picture" if unknown else "truncated" if is_cut(data) else "broken_header"
            return Decoded(None, problem=reason)
        mode = image.mode
        if image.width * image.height > max_pixels:
            return Decoded(None, image.format, mode, problem="too_many_pixels")
        try:
            frames = getattr(image, "n_frames", 1)
            orientation = orientation_of(image)
            image.load()
            if image.format in ("JPEG", "MPO") and was_cut_and_closed(image, data):
                return Decoded(None, image.format, mode, problem="truncated")
            if image.format == "PNG" and has_broken_checksum(data):
                return Decoded(None, image.format, mode, problem="broken_pixels")
            upright = upright_rgb(image, orientation)
            return Decoded(
                upright.picture, image.format, mode, None, frames, upright, getattr(image, "quantization", None)
            )
        except MemoryError:
            return Decoded(None, image.format, mode, problem="too_much_memory")
        except Exception as error:
            truncated = "truncated" in str(error).lower() or isinstance(error, EOFError)
            return Decoded(None, image.format, mode, problem="truncated" if truncated else "broken_pixels")
