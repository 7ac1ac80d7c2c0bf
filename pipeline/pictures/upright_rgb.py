"""Converts a decoded picture to 8-bit sRGB, upright, on white.

    upright_rgb(image, orientation_of(image)).picture

Works in strips where a step would need a copy of its own: a picture of 50 million pixels takes under a gigabyte.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_STRIP_ROWS = 256
_ORIENTATION_TAG = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_PROFILE_MODES = {"RGB ": "RGB", "CMYK": "CMYK", "GRAY": "L"}  # a profile's colour space → Pillow's mode


@dataclass(frozen=True)
class Upright:
    picture: Image.Image
    orientation: int  # as it was
    alpha: bool  # some pixel was transparent
    icc: bool  # the colours were converted to sRGB
    broken_profile: bool = False  # it had a colour profile that cannot be read


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 … 8; 1 if EXIF is broken. To be called before `load`, which may transpose a TIFF."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # its parser raises nearly anything on hostile bytes
        return 1
    return orientation if orientation in _TRANSPOSE else 1


def upright_rgb(image: Image.Image, orientation: int) -> Upright:
    """An upright 8-bit sRGB picture. `image` is loaded; Pillow transposes TIFFs as it loads them."""
    picture, alpha = _on_white(_eight_bit(image))
    profile = image.info.get("icc_profile")
    picture, icc = _in_srgb(picture, profile)
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    if orientation != 1 and orientation_of(image) == orientation:
        picture = picture.transpose(_TRANSPOSE[orientation])
    broken = "icc_profile" in image.info and (not isinstance(profile, bytes) or not _is_profile(profile))
    return Upright(picture, orientation, alpha, icc, broken)


def _eight_bit(image: Image.Image) -> Image.Image:
    """An 8-bit picture of 16-bit, 32-bit or float grey: Pillow's own conversion clips at 255, and all is white."""
    if not image.mode.startswith("I") and image.mode != "F":
        return image
    top = 65535.0 if _highest(image) > 255 else 255.0
    made = Image.new("L", image.size)
    for box in _strips(image):
        pixels = np.nan_to_num(np.asarray(image.crop(box), dtype=np.float64))
        strip = np.clip(pixels * (255.0 / top), 0, 255).round().astype(np.uint8)
        made.paste(Image.fromarray(strip), box)
    return made


def _highest(image: Image.Image) -> float:
    return max(float(np.nan_to_num(np.asarray(image.crop(box), dtype=np.float64)).max()) for box in _strips(image))


def _on_white(image: Image.Image) -> tuple[Image.Image, bool]:
    """The picture on white, and whether a pixel was transparent. Modes without transparency are returned unchanged."""
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return image, False
    made, transparent = Image.new("RGB", image.size), False
    for box in _strips(image):
        strip = image.crop(box)
        strip.info = image.info  # it has a palette's transparency
        strip = strip.convert("RGBA")
        transparent = transparent or strip.getchannel("A").getextrema()[0] < 255  # type: ignore[operator]
        white = Image.new("RGBA", strip.size, (255, 255, 255, 255))
        made.paste(Image.alpha_composite(white, strip).convert("RGB"), box)
    return made, transparent


def _in_srgb(image: Image.Image, profile: Any) -> tuple[Image.Image, bool]:
    """The picture in sRGB, and whether its profile was applied: it must be valid, of this mode, and not sRGB."""
    if image.mode == "LAB":
        return _apply(image, _lab_to_srgb()), True
    if not isinstance(profile, bytes) or not profile:
        return image, False
    transform = _to_srgb(profile, image.mode)
    return (image, False) if transform is None else (_apply(image, transform), True)


def _apply(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    made = Image.new("RGB", image.size)
    for box in _strips(image):
        made.paste(transform.apply(image.crop(box)), box)
    return made


@lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform of a profile, cached: most pictures of a source share a few. None: leave the pixels unchanged."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        description = (ImageCms.getProfileDescription(opened) or "").lower()
        if _PROFILE_MODES.get(opened.profile.xcolor_space) != mode or "srgb" in description or "c2ci" in description:
            return None
        return ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB", _intent())
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None


@lru_cache(maxsize=64)
def _is_profile(profile: bytes) -> bool:
    """Whether a colour profile can be read. One of another mode can: a grey picture often has that of its scanner."""
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return False
    return True


@lru_cache(maxsize=1)
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB", _intent())


def _intent() -> ImageCms.Intent:
    return ImageCms.Intent.RELATIVE_COLORIMETRIC


def _strips(image: Image.Image) -> list[tuple[int, int, int, int]]:
    return [(0, top, image.width, min(top + _STRIP_ROWS, image.height)) for top in range(0, image.height, _STRIP_ROWS)]
