"""Are two pictures that a hash proposes really the same? Their signatures decide: colour in 32x32, luminance in 64x64.

    difference(signatures[a], signatures[b])        # (n,) float32: up to 1 near twins, inf where clearly another picture
    difference(turned(signatures[a], Image.Transpose.ROTATE_90), signatures[b])

A signature is the bytes of `thumbnail`, then of `luminance` (MEASURES): (n, 7168) uint8.
"""

import numpy as np
from numpy.typing import NDArray

from ...manifests.pair import LUMINANCE_BYTES, LUMINANCE_SIDE_PX, THUMBNAIL_BYTES, THUMBNAIL_SIDE_PX

SIGNATURE_BYTES = THUMBNAIL_BYTES + LUMINANCE_BYTES
MAX_CELL_DIFFERENCE = 18  # of 255, in any channel of any cell

_STRIP_PAIRS = 2_000

Signatures = NDArray[np.uint8]  # (n, SIGNATURE_BYTES)


def difference(a: Signatures, b: Signatures) -> NDArray[np.float32]:
    """(n,) for n pairs, whichever of the two comes first."""
    found = np.empty(len(a), np.float32)
    for start in range(0, len(a), _STRIP_PAIRS):
        strip = slice(start, start + _STRIP_PAIRS)
        cells = np.abs(a[strip, :THUMBNAIL_BYTES].astype(np.int16) - b[strip, :THUMBNAIL_BYTES])
        found[strip] = cells.max(axis=1) / MAX_CELL_DIFFERENCE
    return np.where(found > 4, np.float32(np.inf), found)


def turned(signatures: Signatures, turn: int) -> Signatures:
    """As of the pictures turned by `PIL.Image.Transpose(turn)`; -1: as they are."""
    if turn < 0:
        return signatures
    thumbnails, luminances = _planes(signatures)
    count = len(signatures)
    parts = [_TURNS[turn](thumbnails).reshape(count, -1), _TURNS[turn](luminances).reshape(count, -1)]
    return np.concatenate(parts, axis=1)


# In the order of PIL.Image.Transpose, of (n, rows, columns, channels).
_TURNS = (
    lambda planes: planes[:, :, ::-1],  # FLIP_LEFT_RIGHT
    lambda planes: planes[:, ::-1],  # FLIP_TOP_BOTTOM
    lambda planes: planes.swapaxes(1, 2)[:, ::-1],  # ROTATE_90, against the clock
    lambda planes: planes[:, ::-1, ::-1],  # ROTATE_180
    lambda planes: planes.swapaxes(1, 2)[:, :, ::-1],  # ROTATE_270
    lambda planes: planes.swapaxes(1, 2),  # TRANSPOSE
    lambda planes: planes.swapaxes(1, 2)[:, ::-1, ::-1],  # TRANSVERSE
)


def _planes(signatures: Signatures) -> tuple[Signatures, Signatures]:
    """(n, 32, 32, 3) and (n, 64, 64, 1)."""
    thumbnails = signatures[:, :THUMBNAIL_BYTES].reshape(-1, THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX, 3)
    luminances = signatures[:, THUMBNAIL_BYTES:].reshape(-1, LUMINANCE_SIDE_PX, LUMINANCE_SIDE_PX, 1)
    return thumbnails, luminances
