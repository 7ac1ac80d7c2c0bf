"""Picture bytes → upright RGB pixels, or the reason why not; and the rules on what was measured.

    decoded = decode(data, max_pixels=100_000_000)
    decoded.picture, decoded.format          # or: decoded.problem == "truncated"

EXIF orientation is applied, transparency goes onto white, CMYK and 16-bit become 8-bit RGB, and of an
animation the first frame is taken. Size is read from the header and refused there, before any pixel is
decoded. A truncated file is a problem, never a half-grey picture.
"""

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from ..manifests.recipe import Images

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

Image.MAX_IMAGE_PIXELS = None  # our own check comes first and counts as a verdict, not as an exception in mid-decode
ImageFile.LOAD_TRUNCATED_IMAGES = False


@dataclass(frozen=True)
class Decoded:
    picture: Image.Image | None  # RGB, upright
    format: str | None = None
    mode: str | None = None  # before conversion
    problem: str | None = None


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Never raises for what is in `data`: every failure becomes a `problem`."""
    if not data:
        return Decoded(None, problem="empty_file")
    if data[:512].lstrip().lower().startswith((b"<svg", b"<?xml", b"<!doctype svg")):
        return Decoded(None, format="SVG", problem="svg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError:
            return Decoded(None, problem="not_a_picture")
        except Exception:  # Pillow's parsers raise nearly anything on hostile bytes
            return Decoded(None, problem="broken_header")
        if image.width * image.height > max_pixels:
            return Decoded(None, image.format, image.mode, problem="too_many_pixels")
        try:
            image.load()
            return Decoded(_upright_rgb(image), image.format, image.mode)
        except Exception as error:
            truncated = "truncated" in str(error).lower() or isinstance(error, EOFError)
            return Decoded(None, image.format, image.mode, problem="truncated" if truncated else "broken_pixels")


def picture_problem(row: dict[str, Any], rules: Images) -> str:
    """The reason to drop a measured picture, or an empty string."""
    width, height = row["width"], row["height"]
    assert rules.min_side is not None and rules.max_ratio is not None
    if min(width, height) < rules.min_side:
        return "too_small"
    if max(width, height) > rules.max_ratio * min(width, height):
        return "too_long"
    if rules.single_colour == "drop" and row["std"] < SINGLE_COLOUR_STD:
        return "single_colour"
    return ""


SINGLE_COLOUR_STD = 2.0  # of 255; DanQing's threshold. An 8 px dot on a 256 px field has 8


def _upright_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit and float grey: Pillow's own conversion clips at 255 and gives a white picture."""
    pixels = np.asarray(image, dtype=np.float64)
    top = 65535.0 if pixels.max(initial=0) > 255 else 255.0
    return Image.fromarray(np.clip(pixels * (255.0 / top), 0, 255).round().astype(np.uint8))
