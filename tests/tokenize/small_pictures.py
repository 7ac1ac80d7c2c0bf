"""Every colour and shape of the test pictures, as squares."""

import numpy as np

from tuwen.tokenize.image_codes import Pictures

from ..conftest import COLOURS, SHAPES, draw


def some_pictures(side_px: int = 64) -> Pictures:
    """uint8 (18, side, side, 3)."""
    pictures = [draw(colour, shape, 60).resize((side_px, side_px)) for colour in COLOURS for shape in SHAPES]
    return np.stack([np.asarray(picture) for picture in pictures])
