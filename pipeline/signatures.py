"""What one decode of a picture yields for recognising it again.

    signatures(picture)["phash64"]

The perceptual hash sees luminance alone: it cannot tell France's flag from Guinea's. So it only proposes
twins; the 32x32 colour thumbnail decides (`near_images`).
"""

import hashlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageStat

from ..manifests.pair import THUMBNAIL_SIDE_PX

_PHASH_SIDE_PX = 32


def signatures(picture: Image.Image) -> dict[str, Any]:
    """Of an upright RGB picture: size, pixels_hash, phash64, thumbnail, std."""
    digest = hashlib.blake2b(f"{picture.width}x{picture.height}".encode(), digest_size=16)
    digest.update(picture.tobytes())
    # Antialiased BILINEAR: with BOX a picture scaled by 0.35 differs by 51 of 255 from itself, so by 8.
    side = (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX)
    return {
        "width": picture.width,
        "height": picture.height,
        "pixels_hash": digest.hexdigest(),
        "phash64": phash64(picture),
        "thumbnail": picture.resize(side, Image.Resampling.BILINEAR).tobytes(),
        "std": max(ImageStat.Stat(picture).stddev),
    }


def phash64(picture: Image.Image) -> int:
    """The 64-bit DCT hash of `imagehash.phash`: 32x32 luminance, its 8x8 lowest frequencies against their median."""
    grey = picture.convert("L").resize((_PHASH_SIDE_PX, _PHASH_SIDE_PX), Image.Resampling.LANCZOS)
    pixels = np.asarray(grey, dtype=np.float64)
    low = (_dct_matrix() @ pixels @ _dct_matrix().T)[:8, :8]
    bits = (low > np.median(low)).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@cache
def _dct_matrix() -> NDArray[np.float64]:
    """DCT-II, unnormalised, as scipy.fftpack.dct computes it."""
    n = np.arange(_PHASH_SIDE_PX)
    matrix: NDArray[np.float64] = 2 * np.cos(np.pi * n[:, None] * (2 * n[None, :] + 1) / (2 * _PHASH_SIDE_PX))
    return matrix
