"""The pictures of comparisons: smooth with some noise, since all codes of pure noise would be alike.

golden_pictures(2, 256)          # uint8 (2, 256, 256, 3), the same for all time
"""

from typing import Any

import numpy as np


def golden_pictures(count: int, side_px: int) -> Any:
    rng = np.random.RandomState(0)  # its stream is frozen; that of default_rng may change with a release of NumPy
    places = np.linspace(0, 4, side_px)
    waves = np.stack([np.sin(places * frequency) for frequency in (0.7, 1.9, 3.1)])  # (3, side)
    weights = rng.standard_normal((count, 3, 3, 3))  # picture, colour, wave down, wave across
    smooth = np.einsum("ncab,ay,bx->nyxc", weights, waves, waves) * 40 + 128
    noisy = smooth + rng.standard_normal((count, side_px, side_px, 3)) * 20
    return noisy.clip(0, 255).astype(np.uint8)
