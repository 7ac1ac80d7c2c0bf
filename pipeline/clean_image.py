"""Picture bytes → upright RGB pixels, or the reason why not; and the rules on what was measured.

    decoded = decode(data, max_pixels=100_000_000)
    decoded.picture, decoded.format          # or: decoded.problem == "truncated"

The format is told by the content, never by a name. Size is read from the header and refused there, before any pixel
is decoded. A truncated file is a problem, never a half-grey picture. Of an animation the first frame is taken.
"""

import io
import warnings
from dataclasses import dataclass
from typing import Any

import simplejpeg
from PIL import Image, ImageFile, UnidentifiedImageError

from ..manifests.recipe import Images
from .upright_rgb import Upright, orientation_of, upright_rgb

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

Image.MAX_IMAGE_PIXELS = None  # our own check comes first and counts as a verdict, not as an exception in mid-decode
ImageFile.LOAD_TRUNCATED_IMAGES = False

# What is a picture, but of a kind that is not read here: another word than `not_a_picture`, since it can be converted.
_OTHER_FORMATS = {
    b"8BPS": "PSD", b"%PDF": "PDF", b"\0\0\1\0": "ICO", b"\xff\x0a": "JXL", b"\0\0\0\x0cJXL ": "JXL",
    b"\0\0\0\x0cjP  ": "JPEG2000", b"\xff\x4f\xff\x51": "JPEG2000", b"P6": "PPM", b"P5": "PPM", b"qoif": "QOI",
}  # fmt: skip
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim")


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
    """Never raises for what is in `data`: every failure becomes a `problem`."""
    if not data:
        return Decoded(None, problem="empty_file")
    if other := _other_format(data):
        return Decoded(None, format=other, problem="svg" if other == "SVG" else "unsupported_format")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError:
            return Decoded(None, problem="not_a_picture")
        except Exception:  # Pillow's parsers raise nearly anything on hostile bytes
            return Decoded(None, problem="broken_header")
        mode = image.mode
        if image.width * image.height > max_pixels:
            return Decoded(None, image.format, mode, problem="too_many_pixels")
        try:
            frames = getattr(image, "n_frames", 1)
            orientation = orientation_of(image)
            image.load()
            if image.format == "JPEG" and _was_cut(image, data):
                return Decoded(None, image.format, mode, problem="truncated")
            upright = upright_rgb(image, orientation)
            return Decoded(
                upright.picture, image.format, mode, None, frames, upright, getattr(image, "quantization", None)
            )
        except MemoryError:
            return Decoded(None, image.format, mode, problem="too_much_memory")
        except Exception as error:
            truncated = "truncated" in str(error).lower() or isinstance(error, EOFError)
            return Decoded(None, image.format, mode, problem="truncated" if truncated else "broken_pixels")


def picture_problem(row: dict[str, Any], rules: Images) -> str:
    """The reason to drop a measured picture, or an empty string. `rules` must be `resolved()`."""
    short, long = sorted((row["width"], row["height"]))
    return next((reason for reason, broken in _checks(row, rules, short, long) if broken), "")


SINGLE_COLOUR_STD = 2.0  # of 255; DanQing's threshold. An 8 px dot on a 256 px field has 8


def _checks(row: dict[str, Any], rules: Images, short: int, long: int) -> tuple[tuple[str, bool], ...]:
    quality = row["jpeg_quality"]
    return (
        ("too_small", short < (rules.min_side or 0)),
        ("too_long", long > (rules.max_ratio or 0) * short),
        ("few_bytes", row["bytes"] < (rules.min_bytes or 0)),
        ("animated", rules.animated == "drop" and row["frames"] > 1 and row["format"] != "TIFF"),  # TIFF has pages
        ("single_colour", rules.single_colour == "drop" and row["std"] < SINGLE_COLOUR_STD),
        ("low_std", row["std"] < (rules.min_std or 0)),
        ("low_entropy", row["entropy"] < (rules.min_entropy or 0)),
        ("blurred", row["sharpness"] < (rules.min_sharpness or 0)),
        ("wide_border", row["border"] > (1 if rules.max_border is None else rules.max_border)),
        ("low_jpeg_quality", quality is not None and quality < (rules.min_jpeg_quality or 1)),
    )


def _other_format(data: bytes) -> str | None:
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<svg", b"<!doctype svg")) or (
        head.startswith((b"<?xml", b"<!--")) and b"<svg" in data[:4096]
    ):
        return "SVG"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and b"avif" not in data[8:32]:
        return "HEIC"
    return next((name for magic, name in _OTHER_FORMATS.items() if data.startswith(magic)), None)


def _was_cut(image: Image.Image, data: bytes) -> bool:
    """A JPEG that was cut and closed with an end marker: libjpeg fills the rest with the last colour, and only warns.

    What it filled shows: the last row's last blocks are of one colour. Only such a picture, or a progressive one (which
    a cut makes coarse, not flat), is read a second time by a decoder that heeds the warning.
    """
    right, bottom = image.width, image.height
    corner = image.crop((max(0, right - 16), bottom - 1, right, bottom))
    flat = all(low == high for low, high in _extrema(corner))
    if not flat and not image.info.get("progressive"):
        return False
    try:
        simplejpeg.decode_jpeg(data, colorspace="CMYK" if image.mode == "CMYK" else "GRAY", fastdct=True, strict=True)
    except ValueError as error:
        return "premature end" in str(error).lower()
    return False


def _extrema(image: Image.Image) -> list[tuple[float, float]]:
    found: Any = image.getextrema()
    return [found] if isinstance(found[0], int | float) else list(found)
