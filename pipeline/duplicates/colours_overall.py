"""Whether two pictures have the same colours, wherever they are: for crops, borders and rotations.

    same_colours_overall(thumbnails_a, thumbnails_b)       # (n, 3072) twice → (n,)

A model that was trained to recognise a picture through such changes was trained to ignore its colours, too. So each
picture must have every colour of the other that is not a mixture at an edge; of mixtures it must have the hue, which
white and grey do not change. The area and the position do not count. Another brightness is another colour.
"""

import numpy as np
from numpy.typing import NDArray

from ...manifests.pair import THUMBNAIL_SIDE_PX as SIDE

_LEVELS, _STEP = 32, 8  # of each channel: a bit of a word each
_NEAR_LEVELS = 3  # so colours that differ by 24 of 255 are alike, and those that differ by 32 are not
_PLAIN = 24  # a cell that differs by more from one beside it is a mixture, and changes with every cut
_FRAME_CELLS = 4  # the outermost rows and columns, if of one colour, may have been added: a border of 10% takes 3
_FEWEST_CELLS = 32  # if fewer are plain, all cells count
_MIN_SHARE = 0.95
_HUES = 36  # of 10°, by Smith's hexagon (1978)
_NEAR_HUES = 2  # so hues that differ by 20° are alike, and those that differ by 30° are not
_COLOURFUL = 24  # of 255 between the channels: a cell whose hue the other picture must have
_HARDLY_GREY = 14  # a cell whose hue counts as one that a picture has
_MIN_HUE_SHARE, _FEW_CELLS = 0.9, 4
_STRIP_PAIRS = 256

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def same_colours_overall(a: Bytes, b: Bytes) -> Mask:
    """(n,) for n pairs of thumbnails; symmetric in a and b."""
    strips = [np.empty(0, np.bool_)]
    for start in range(0, len(a), _STRIP_PAIRS):
        ours, theirs = (_planes(thumbnails[start : start + _STRIP_PAIRS]) for thumbnails in (a, b))
        colours = _has_colours_of(theirs, ours) & _has_colours_of(ours, theirs)
        strips.append(colours & _has_hues_of(theirs, ours) & _has_hues_of(ours, theirs))
    return np.concatenate(strips)


def _planes(thumbnails: Bytes) -> Bytes:
    """(3, n, 32, 32): by channel numpy is three times as fast."""
    return np.ascontiguousarray(np.moveaxis(thumbnails.reshape(-1, SIDE, SIDE, 3), 3, 0))


def _has_colours_of(partner: Bytes, cells: Bytes) -> Mask:
    """(n,): whether the partner has the colours of nearly all plain cells, and of one in every square of four."""
    red, green, blue = cells // _STEP
    near = _colours_near(partner)[np.arange(cells.shape[1])[:, None, None], red, green]
    known = (near >> blue) & 1 == 1
    plain = _plain(cells) & ~_frame(cells)
    plain[plain.sum(axis=(1, 2)) < _FEWEST_CELLS] = True
    missing = plain & ~known
    square = missing[:, 1:, 1:] & missing[:, 1:, :-1] & missing[:, :-1, 1:] & missing[:, :-1, :-1]
    enough = missing.sum(axis=(1, 2)) <= (1 - _MIN_SHARE) * plain.sum(axis=(1, 2))
    same: Mask = enough & ~square.any(axis=(1, 2))
    return same


def _has_hues_of(partner: Bytes, cells: Bytes) -> Mask:
    """(n,): whether the partner has the hues of nearly all cells that have a hue."""
    hue, colourful = _hues(cells, _COLOURFUL)
    partners_hue, counts = _hues(partner, _HARDLY_GREY)
    bits = np.bitwise_or.reduce(np.where(counts, np.uint64(1) << partners_hue, np.uint64(0)), axis=(1, 2))
    near = bits.copy()
    for shift in range(1, _NEAR_HUES + 1):
        for steps in (shift, _HUES - shift):
            near |= (bits << np.uint64(steps)) | (bits >> np.uint64(_HUES - steps))
    missing = (colourful & ((near[:, None, None] >> hue) & np.uint64(1) == 0)).sum(axis=(1, 2))
    same: Mask = missing <= np.maximum(_FEW_CELLS, (1 - _MIN_HUE_SHARE) * colourful.sum(axis=(1, 2)))
    return same


def _hues(cells: Bytes, least: int) -> tuple[NDArray[np.uint64], Mask]:
    """(n, 32, 32) twice: 0 … 35 around the circle, and which cells have enough chroma for it to count."""
    red, green, blue = cells.astype(np.int32)
    most = np.maximum(np.maximum(red, green), blue)
    chroma = most - np.minimum(np.minimum(red, green), blue)
    ahead = np.where(most == red, green - blue, np.where(most == green, blue - red, red - green))
    start = np.where(most == red, 0, np.where(most == green, _HUES // 3, 2 * _HUES // 3))
    hue = (start + ahead * (_HUES // 6) // np.maximum(chroma, 1)) % _HUES
    return hue.astype(np.uint64), chroma >= least


def _colours_near(cells: Bytes) -> NDArray[np.uint32]:
    """(n, 32, 32) by levels of red and green, a bit for each of blue: is that colour near one of the picture's?"""
    red, green, blue = cells // _STEP
    cube = np.zeros((cells.shape[1], _LEVELS, _LEVELS, _LEVELS), np.bool_)
    cube[np.arange(cells.shape[1])[:, None, None], red, green, blue] = True
    bits = np.packbits(cube, axis=3, bitorder="little").view("<u4")[..., 0]
    near = bits.copy()
    for shift in range(1, _NEAR_LEVELS + 1):
        near |= (bits << shift) | (bits >> shift)
    for axis in (1, 2):
        words, narrow = np.moveaxis(near, axis, 0), np.moveaxis(near.copy(), axis, 0)
        for shift in range(1, _NEAR_LEVELS + 1):
            words[shift:] |= narrow[:-shift]
            words[:-shift] |= narrow[shift:]
    return near


def _plain(cells: Bytes) -> Mask:
    """(n, 32, 32): the cells that are like the four around them."""
    signed, plain = cells.astype(np.int16), np.ones(cells.shape[1:], np.bool_)
    down, across = (np.abs(np.diff(signed, axis=axis)).max(axis=0) <= _PLAIN for axis in (2, 3))
    plain[:, 1:] &= down
    plain[:, :-1] &= down
    plain[:, :, 1:] &= across
    plain[:, :, :-1] &= across
    return plain


def _frame(cells: Bytes) -> Mask:
    """(n, 32, 32): the outermost rows and columns of one colour."""
    rows, columns = (np.ptp(cells, axis=axis).max(axis=0) <= _PLAIN for axis in (3, 2))  # (n, 32) each
    return _ends(rows)[:, :, None] | _ends(columns)[:, None, :]


def _ends(lines: Mask) -> Mask:
    """The lines that follow from either end without a gap, `_FRAME_CELLS` at most."""
    ends = np.zeros_like(lines)
    ends[:, :_FRAME_CELLS] = np.logical_and.accumulate(lines[:, :_FRAME_CELLS], axis=1)
    ends[:, -_FRAME_CELLS:] = np.logical_and.accumulate(lines[:, : -_FRAME_CELLS - 1 : -1], axis=1)[:, ::-1]
    return ends
