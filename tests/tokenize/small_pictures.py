"""Every colour and shape of the test pictures, 64 px."""

import numpy as np

from tuwen.tokenize.image_codes import Pictures

from ..conftest import COLOURS, SHAPES, draw


def some_pictures() -> Pictures:
    """uint8 (18, 64, 64, 3)."""
    pictures = [draw(colour, shape, 60).resize((64, 64)) for colour in COLOURS for shape in SHAPES]
    return np.stack([np.asarray(picture) for picture in pictures])
