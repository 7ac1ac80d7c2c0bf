"""How much two pictures differ by their signatures: colour in 32x32, luminance in 64x64. At most 1: near-duplicates.

    difference(signatures[a], signatures[b])    # (n,) float32: ≤ 1 near-duplicates, inf clearly not
    difference(transposed(signatures[a], Image.Transpose.ROTATE_90), signatures[b])

A signature is the bytes of `thumbnail`, then of `luminance` (MEASURES): (n, 7168) uint8. Every cell must agree, up to
a tolerance that grows with the contrast around it: an edge moves when a picture is scaled, a flat colour does not.
What is common to all cells is undone first: how sharp the picture is, and its brightness and gamma within a quarter.
Sums are of whole numbers, and what is fitted is rounded, so processors agree. The numbers are measured:
docs/log/near-duplicates.md.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ...manifests.pair import LUMINANCE_BYTES, LUMINANCE_SIDE_PX, THUMBNAIL_BYTES, THUMBNAIL_SIDE_PX

SIGNATURE_BYTES = THUMBNAIL_BYTES + LUMINANCE_BYTES

# Levels of 255 that a cell may differ by: a base, and a share of the range in the 3x3 cells around it.
_COLOUR_BASE, _COLOUR_SHARE = 8.0, 0.07  # a share of 0.1 merges two skins of a head that is ten pixels of a picture
_LIGHT_BASE, _LIGHT_SHARE = 8.0, 0.2
# A drawing or a screenshot gets less of it than a photograph, in which scaling and JPEG move texture everywhere. One
# line of another chat is at 0.78 to 2, other digits in a table at 0.82 to 1.4, photographs at half their size at 0.83
# (90th percentile). What tells them apart is how many cells have any contrast: 0.1 … 0.4 and 0.75.
_LIVELY = (0.45, 0.55)  # share of the cells of luminance whose range is _LIVELY_RANGE at least
_COLOUR_ALLOWED = (1.0, 1.5)
_LIGHT_ALLOWED = (0.75, 1.5)
_LIVELY_RANGE = 16
_MAX_SHARPENING = 0.3
_MAX_TONE = 1.28  # gain and gamma: brightness and gamma of 0.8 … 1.25, found within 3%
# Where much white stayed white, nothing tells a gamma from a darker thing on white paper (red and dark red): then only
# as much as JPEG 20 does to a drawing.
_MAX_TONE_ON_WHITE = 1.06
_WHITE, _MUCH_WHITE = 251, 0.2
_TONE_APART = 1.0  # mean difference of a sample of the cells: another tone moves most of them, a small hand few
_UNEXPLAINED = 0.5  # share of it that may remain: a curve that explains less is not what was done to the picture
_CLEARLY = 4.0
_FAR = 16.0  # mean difference of a sample of the cells; of copies it was 3.5 at most

_STRIP_PAIRS = 200  # 1.5 MB of each side: the planes that are made of them stay near the cache

Signatures = NDArray[np.uint8]  # (n, SIGNATURE_BYTES)
Cells = NDArray[np.uint8]  # (n, side, side, channels)
Floats = NDArray[np.float32]


def difference(a: Signatures, b: Signatures) -> Floats:
    """(n,): how much the pictures of n pairs differ; symmetric in a and b."""
    differences = np.full(len(a), np.inf, np.float32)
    for start in range(0, len(a), _STRIP_PAIRS):
        strip = slice(start, start + _STRIP_PAIRS)
        differences[strip] = _difference(a[strip], b[strip])
    return differences


def transposed(signatures: Signatures, method: int) -> Signatures:
    """The signatures of the pictures after `PIL.Image.Transpose(method)`; -1: unchanged."""
    if method < 0:
        return signatures
    planes = [
        _TRANSPOSES[method](plane).reshape(len(signatures), math.prod(plane.shape[1:])) for plane in _planes(signatures)
    ]
    return np.concatenate(planes, axis=1)


# In the order of PIL.Image.Transpose.
_TRANSPOSES = (
    lambda cells: cells[:, :, ::-1],  # FLIP_LEFT_RIGHT
    lambda cells: cells[:, ::-1],  # FLIP_TOP_BOTTOM
    lambda cells: cells.swapaxes(1, 2)[:, ::-1],  # ROTATE_90, against the clock
    lambda cells: cells[:, ::-1, ::-1],  # ROTATE_180
    lambda cells: cells.swapaxes(1, 2)[:, :, ::-1],  # ROTATE_270
    lambda cells: cells.swapaxes(1, 2),  # TRANSPOSE
    lambda cells: cells.swapaxes(1, 2)[:, ::-1, ::-1],  # TRANSVERSE
)


def _planes(signatures: Signatures) -> tuple[Cells, Cells]:
    """(n, 32, 32, 3) and (n, 64, 64, 1)."""
    colours = signatures[:, :THUMBNAIL_BYTES].reshape(-1, THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX, 3)
    light = signatures[:, THUMBNAIL_BYTES:].reshape(-1, LUMINANCE_SIDE_PX, LUMINANCE_SIDE_PX, 1)
    return colours, light


def _difference(a: Signatures, b: Signatures) -> Floats:
    worst = np.full(len(a), np.inf, np.float32)
    sample, other_sample = _sample(a), _sample(b)  # most proposals end here, at a tenth of the cost
    apart = _mean_apart(sample, other_sample)
    near = np.flatnonzero(apart <= _FAR)
    worst[near] = _worst(a[near], b[near])
    others = np.flatnonzero((worst > 1) & (apart >= _TONE_APART))
    # Of x1.2 with its clipped whites only one direction has a curve, so both are tried and the nearer one counts.
    for x, y, x_sample, y_sample in ((a, b, sample, other_sample), (b, a, other_sample, sample)):
        curve = _tone_curve(x_sample[others], y_sample[others])
        rest = _mean_apart(_by(curve, x_sample[others]), y_sample[others])
        left = others[rest <= np.minimum(_FAR, _UNEXPLAINED * apart[others])]
        curve = _tone_curve(x[left, :THUMBNAIL_BYTES], y[left, :THUMBNAIL_BYTES])
        worst[left] = np.minimum(worst[left], _worst(_by(curve, x[left]), y[left]))
    return np.where(worst > _CLEARLY, np.float32(np.inf), worst)


def _sample(signatures: Signatures) -> Cells:
    """(n, 192): every fourth row and column of the colours."""
    return _planes(signatures)[0][:, 2::4, 2::4].reshape(len(signatures), -1)


def _mean_apart(a: Cells, b: Cells) -> Floats:
    mean: Floats = (np.maximum(a, b) - np.minimum(a, b)).mean(axis=1, dtype=np.float32)
    return mean


def _worst(a: Signatures, b: Signatures) -> Floats:
    """The difference of the worst cell by what it may differ; luminance is compared only where all colours agree."""
    (colours, light), (others, other_light) = _planes(a), _planes(b)
    light_contrast = np.maximum(_contrast(light), _contrast(other_light))
    lively = (light_contrast >= _LIVELY_RANGE).mean(axis=(1, 2, 3))
    contrast = np.maximum(_contrast(colours), _contrast(others)).max(axis=3)
    apart = np.abs(_beside_sharpness(colours, others)).max(axis=3)
    worst = _most(apart / (_COLOUR_BASE + _COLOUR_SHARE * contrast)) / np.interp(lively, _LIVELY, _COLOUR_ALLOWED)
    same = np.flatnonzero(worst <= 1)
    apart = np.abs(_beside_sharpness(light[same], other_light[same]))
    most = _most(apart / (_LIGHT_BASE + _LIGHT_SHARE * light_contrast[same]))
    worst[same] = np.maximum(worst[same], most / np.interp(lively[same], _LIVELY, _LIGHT_ALLOWED))
    difference_of_worst: Floats = worst.astype(np.float32)
    return difference_of_worst


def _most(cells: NDArray[np.floating]) -> Floats:
    most: Floats = cells.max(axis=tuple(range(1, cells.ndim)), initial=0).astype(np.float32)
    return most


def _contrast(cells: Cells) -> Cells:
    """The range of the 3x3 cells around each cell."""
    contrast: Cells = _around(cells, np.maximum) - _around(cells, np.minimum)
    return contrast


def _around(cells: Cells, extreme: np.ufunc) -> Cells:
    for first, last in _NEIGHBOURS:
        there = cells.copy()
        extreme(there[first], cells[last], out=there[first])
        extreme(there[last], cells[first], out=there[last])
        cells = there
    return cells


# All but the first, and all but the last: of the rows, and of the columns.
_NEIGHBOURS = (
    (np.s_[:, 1:], np.s_[:, :-1]),
    (np.s_[:, :, 1:], np.s_[:, :, :-1]),
)


def _beside_sharpness(a: Cells, b: Cells) -> Floats:
    """b - a without the one multiple of their Laplacian that explains most of it: another resizer blurs or sharpens."""
    apart = b.astype(np.int16) - a
    edges = _laplacian(a.astype(np.int16) + b)
    exact = edges.astype(np.float64)  # sums of whole numbers below 2^53
    share = (apart * exact).sum(axis=(1, 2, 3)) / ((exact**2).sum(axis=(1, 2, 3)) + 2_000)
    share = np.clip(share, -_MAX_SHARPENING / 2, _MAX_SHARPENING / 2).astype(np.float32)
    rest: Floats = apart - share[:, None, None, None] * edges.astype(np.float32)
    return rest


def _laplacian(cells: NDArray[np.int16]) -> NDArray[np.int16]:
    laplacian = np.zeros_like(cells)
    for first, last in _NEIGHBOURS:
        step = cells[first] - cells[last]
        laplacian[last] += step
        laplacian[first] -= step
    return laplacian


_LEVELS = np.arange(256, dtype=np.float32)
_LOGARITHM = np.log(np.maximum(_LEVELS, 1) / 255)


def _tone_curve(from_levels: Cells, to_levels: Cells) -> Cells:
    """(n, 256) levels: the gain and gamma, one for all channels and cells, that bring one picture nearest the other."""
    x, y = _LOGARITHM[from_levels], _LOGARITHM[to_levels]
    darker = np.minimum(from_levels, to_levels)
    clipped = (darker <= 4) | (np.maximum(from_levels, to_levels) >= _WHITE)
    weight = np.where(clipped, np.float32(0), darker.astype(np.float32))
    on_white = (darker >= _WHITE).mean(axis=1) > _MUCH_WHITE
    most = np.where(on_white, _MAX_TONE_ON_WHITE, _MAX_TONE)[:, None]
    curve = _curve(x, y, weight, most)
    for _ in range(2):  # once more with less weight on the cells that do not follow it: edges, and other things
        apart = np.abs(_by(curve, from_levels).astype(np.int16) - to_levels)
        weight = weight / (1 + apart / np.float32(3))
        curve = _curve(x, y, weight, most)
    return curve


def _by(curve: Cells, levels: Cells) -> Cells:
    """The levels, mapped by the curve of their pair."""
    changed: Cells = np.take_along_axis(curve, levels, axis=1)
    return changed


def _curve(x: Floats, y: Floats, weight: Floats, most: NDArray[np.float64]) -> Cells:
    """(n, 256) levels: y = gamma·x + log(gain) by weighted least squares, both within 1 / most … most."""
    total = weight.sum(axis=1, dtype=np.float64) + 1
    mean_x, mean_y = ((weight * values).sum(axis=1, dtype=np.float64) / total for values in (x, y))
    x_x, x_y = ((weight * x * values).sum(axis=1, dtype=np.float64) / total for values in (x, y))
    # The ridge pulls a flat drawing's gamma, which nothing determines, to 1.
    gamma = (x_y - mean_x * mean_y + 0.0005) / (x_x - mean_x**2 + 0.0005)
    gamma = np.clip(np.round(gamma, 2)[:, None], 1 / most, most)
    gain = np.clip(np.round(mean_y[:, None] - gamma * mean_x[:, None], 2), -np.log(most), np.log(most))
    curve = np.minimum(255, np.rint(255 * np.exp(gamma * _LOGARITHM + gain)))
    curve[:, 0] = 0
    levels: Cells = curve.astype(np.uint8)
    return levels
