"""What is computed from the pixels of a picture: hashes and signatures to recognise it by, and its quality.

    signatures(picture)["phash64"], signatures(picture)["sharpness"]

The perceptual hash sees luminance alone: it cannot tell France's flag from Guinea's. So it only proposes duplicates;
the thumbnail and the 64x64 luminance decide (`duplicates/same_picture`). Quality is measured on 256x256 pixels,
whatever the size: thresholds on sharpness or entropy mean nothing otherwise.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, TypedDict

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray
from PIL import Image

from ...manifests.pair import LUMINANCE_SIDE_PX, THUMBNAIL_SIDE_PX


class Quality(TypedDict):
    """What is measured on 256x256 pixels."""

    std: float  # of the channel that varies most, 0 … 127
    entropy: float  # bits of the luminance, 0 … 8
    sharpness: float  # variance of the Laplacian of the luminance
    colour: float  # colourfulness; 0: grey
    border: float  # share of the area in rows and columns of one colour at the edges


class PixelMeasures(Quality):
    width: int  # px
    height: int
    pixels_hash: str  # 32 hex digits
    phash64: int
    phash64_flips: list[int]  # 7, in the order of PIL.Image.Transpose
    thumbnail: bytes  # 32x32 RGB
    luminance: bytes  # 64x64
    jpeg_quality: int | None  # 1 … 100; None: no JPEG


_PHASH_SIDE_PX = 32
_SMALL_PX = 256
_STRIP_ROWS = 256
_BORDER_TOLERANCE = 8  # of 255: JPEG's noise around an edge

# The luminance table of the JPEG standard (Annex K.1), which libjpeg scales by quality; its order does not matter here.
_LUMINANCE_TABLE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip


def signatures(picture: Image.Image, jpeg_tables: dict[int, list[int]] | None = None) -> PixelMeasures:
    """The columns of `manifests.pair.MEASURES` that are made of the pixels of an upright RGB picture."""
    # The gap of 1 lets Pillow average whole blocks first. BILINEAR: with BOX a picture scaled by 0.35 has a thumbnail
    # that differs by 51 of 255 from its own. Of a large picture it is taken in two steps, in a fifth of the time; of
    # one that had to be enlarged for the first step it would be too soft, 14 from its own instead of 9.
    small = picture.resize((_SMALL_PX, _SMALL_PX), Image.Resampling.BILINEAR, reducing_gap=1.0)
    enough = small if min(picture.size) >= _SMALL_PX else picture
    low = _low_frequencies(picture)
    return {
        "width": picture.width,
        "height": picture.height,
        "pixels_hash": pixels_hash(picture),
        "phash64": _above_median(low),
        "phash64_flips": [_above_median(transposed) for transposed in _transposed(low)],
        "thumbnail": _resized(enough, THUMBNAIL_SIDE_PX).tobytes(),
        "luminance": _resized(enough.convert("L"), LUMINANCE_SIDE_PX).tobytes(),
        "jpeg_quality": jpeg_quality(jpeg_tables) if jpeg_tables else None,
        **_quality(small),
    }


def pixels_hash(picture: Image.Image) -> str:
    """32 hex digits over size and pixels; in strips, since the bytes take as much memory as the picture."""
    digest = blake3(f"{picture.width}x{picture.height}".encode())  # sha256 took a seventh of a large picture's time
    for top in range(0, picture.height, _STRIP_ROWS):
        digest.update(picture.crop((0, top, picture.width, min(top + _STRIP_ROWS, picture.height))).tobytes())
    return digest.hexdigest()[:32]


def phash64(picture: Image.Image) -> int:
    """The 64-bit DCT hash of `imagehash.phash`: 32x32 luminance, its 8x8 lowest frequencies against their median."""
    return _above_median(_low_frequencies(picture))


def jpeg_quality(tables: dict[int, list[int]]) -> int:
    """The libjpeg quality whose luminance table has the nearest sum; tables of other encoders have no exact one."""
    return int(np.abs(_table_sums() - sum(tables[min(tables)])).argmin()) + 1


def _resized(picture: Image.Image, side_px: int) -> Image.Image:
    return picture.resize((side_px, side_px), Image.Resampling.BILINEAR)


def _low_frequencies(picture: Image.Image) -> NDArray[np.float64]:
    grey = picture.convert("L").resize((_PHASH_SIDE_PX, _PHASH_SIDE_PX), Image.Resampling.LANCZOS)
    pixels = np.asarray(grey, dtype=np.float64)
    low: NDArray[np.float64] = (_dct_matrix() @ pixels @ _dct_matrix().T)[:8, :8]
    return low


def _transposed(low: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """The picture's frequencies under the seven `PIL.Image.Transpose`: a mirror negates the odd ones."""
    sign = np.where(np.arange(8) % 2, -1.0, 1.0)
    across, down = low * sign[None, :], low * sign[:, None]
    yield across  # FLIP_LEFT_RIGHT
    yield down  # FLIP_TOP_BOTTOM
    yield across.T  # ROTATE_90
    yield across * sign[:, None]  # ROTATE_180
    yield down.T  # ROTATE_270
    yield low.T  # TRANSPOSE
    yield (across * sign[:, None]).T  # TRANSVERSE


def _above_median(low: NDArray[np.float64]) -> int:
    bits = (low > np.median(low)).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _quality(small: Image.Image) -> Quality:
    grey = small.convert("L")
    planes = np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))  # by channel numpy is 30 times as fast
    mean, covariance = _moments(planes)
    return {
        "std": math.sqrt(max(0.0, covariance.diagonal().max())),
        "entropy": grey.entropy(),
        "sharpness": _sharpness(np.asarray(grey, dtype=np.int16)),
        "colour": _colourfulness(mean, covariance),
        "border": _border(planes),
    }


def _sharpness(grey: NDArray[np.int16]) -> float:
    """Variance of the Laplacian (Pech-Pacheco 2000): low when nothing has an edge."""
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    return float(_moments(laplacian[None])[1][0, 0])


def _moments(planes: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of each channel of integers (channels, …), and their covariance.

    Sums of integers below 2^53 are exact in float64 whatever their order, so every processor gives the same bits.
    """
    values = planes.reshape(len(planes), -1).astype(np.float64)
    mean = values.sum(axis=1) / values.shape[1]
    products = np.array([[np.dot(a, b) for b in values] for a in values])  # three times as fast as one thin `@`
    return mean, products / values.shape[1] - np.outer(mean, mean)


def _colourfulness(mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """Hasler and Süsstrunk 2003, equation 1 on opponent axes; 0 is grey, 109 their "extremely colourful"."""
    axes = np.array([[1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])  # red-green, yellow-blue
    variances = np.einsum("ac,cd,ad->a", axes, covariance, axes)
    return math.sqrt(max(0.0, variances.sum())) + 0.3 * math.hypot(*(axes @ mean))


def _border(planes: NDArray[np.uint8]) -> float:
    """Share of the area outside of the box that has more than one colour in each of its outermost rows and columns."""
    top, bottom = _flat_ends(_ranges(planes, axis=2))
    left, right = _flat_ends(_ranges(planes[:, top:bottom], axis=1)) if bottom > top else (0, 0)
    return 1 - (bottom - top) * (right - left) / _SMALL_PX**2


def _ranges(planes: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """The range of the channel that varies most, for each row or column."""
    ranges: NDArray[np.uint8] = (planes.max(axis=axis) - planes.min(axis=axis)).max(axis=0)
    return ranges


def _flat_ends(ranges: NDArray[np.uint8]) -> tuple[int, int]:
    """First and one past the last index whose range is more than noise; (0, 0) if there is none."""
    lively = np.flatnonzero(ranges > _BORDER_TOLERANCE)
    return (int(lively[0]), int(lively[-1]) + 1) if len(lively) else (0, 0)


@cache
def _table_sums() -> NDArray[np.int64]:
    """Tables of qualities 1 … 100, as libjpeg's jpeg_quality_scaling makes them."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables = np.clip((_LUMINANCE_TABLE[None, :] * scale[:, None] + 50) // 100, 1, 255)
    sums: NDArray[np.int64] = tables.sum(axis=1)
    return sums


@cache
def _dct_matrix() -> NDArray[np.float64]:
    """DCT-II, unnormalised, as scipy.fftpack.dct computes it."""
    n = np.arange(_PHASH_SIDE_PX)
    matrix: NDArray[np.float64] = 2 * np.cos(np.pi * n[:, None] * (2 * n[None, :] + 1) / (2 * _PHASH_SIDE_PX))
    return matrix
