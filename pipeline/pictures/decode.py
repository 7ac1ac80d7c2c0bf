"""Decodes the bytes of a picture to upright RGB, or names the problem.

    decoded = decode(data, max_pixels=50_000_000)
    decoded.picture, decoded.format          # or: decoded.problem == "truncated"

The format is told by the content, never by a name. Size is read from the header and refused there, before any pixel
is decoded. A truncated file is a problem, never a half-grey picture. Of an animation the first frame is taken. Broken
metadata are passed over and named (`metadata`); the pixels are those of the same picture without them.
"""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, ImageFile, UnidentifiedImageError

from ..sources.picture_format import other_format
from .broken_files import is_cut, is_known, was_cut_and_closed
from .broken_metadata import has_broken_exif, without_broken_metadata, without_unreadable_metadata
from .png_chunks import has_broken_checksum
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
    metadata: str | None = None  # what is wrong with it, with commas between: "broken_exif,broken_text"


def decode(data: bytes, max_pixels: int) -> Decoded:
    """The picture, or its problem: nothing that is in `data` makes it raise."""
    if not data:
        return Decoded(None, problem="empty_file")
    if other := other_format(data):
        return Decoded(None, format=other, problem="svg" if other == "SVG" else "unsupported_format")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image, faults = _opened(data)
        except Exception as error:  # Pillow's parsers raise nearly anything on hostile bytes
            unknown = isinstance(error, UnidentifiedImageError) and not is_known(data)
            reason = "not_a_picture" if unknown else "truncated" if is_cut(data) else "broken_header"
            return Decoded(None, problem=reason)
        if image.width * image.height > max_pixels:
            return Decoded(None, image.format, image.mode, problem="too_many_pixels")
        return _loaded(image, data, faults)


def _opened(data: bytes) -> tuple[Image.Image, set[str]]:
    """The picture with its header read, and what is wrong with its metadata. Raises what Pillow raises."""
    sound, faults = without_broken_metadata(data)
    try:
        return Image.open(io.BytesIO(sound), formats=FORMATS), faults
    except Exception:
        sound, faults = without_unreadable_metadata(data)
        if not faults:
            raise
        return Image.open(io.BytesIO(sound), formats=FORMATS), faults


def _loaded(image: Image.Image, data: bytes, faults: set[str]) -> Decoded:
    mode = image.mode
    try:
        frames = getattr(image, "n_frames", 1)
        orientation = orientation_of(image)
        image.load()
        if image.format in ("JPEG", "MPO") and was_cut_and_closed(image, data):
            return Decoded(None, image.format, mode, problem="truncated")
        if image.format == "PNG" and has_broken_checksum(data):
            return Decoded(None, image.format, mode, problem="broken_pixels")
        upright = upright_rgb(image, orientation)
        if upright.broken_profile:
            faults.add("broken_profile")
        if has_broken_exif(image):
            faults.add("broken_exif")
        metadata = ",".join(sorted(faults)) or None
        tables = getattr(image, "quantization", None)
        return Decoded(upright.picture, image.format, mode, None, frames, upright, tables, metadata)
    except MemoryError:
        return Decoded(None, image.format, mode, problem="too_much_memory")
    except Exception as error:
        truncated = "truncated" in str(error).lower() or isinstance(error, EOFError)
        return Decoded(None, image.format, mode, problem="truncated" if truncated else "broken_pixels")
