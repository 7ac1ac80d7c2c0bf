"""How alike two sets of pictures are, in dB.

psnr(original, restored)       # {"psnr_mean_db": 25.5, "psnr_of_mean_db": 23.3}
"""

import numpy as np

from .image_codes import Pictures

_PERFECT_MSE = 1 / 12  # of rounding; a perfect picture counts as 58.9 dB, not as infinite


def psnr(original: Pictures, restored: Pictures) -> dict[str, float]:
    """Of uint8 (n, side, side, 3) each: the mean of the pictures' own PSNRs, and that of their mean squared error."""
    squared = (original.astype(np.float64) - restored).reshape(len(original), -1) ** 2
    mse = np.maximum(squared.mean(axis=1), _PERFECT_MSE)
    return {
        "psnr_mean_db": round(float((10 * np.log10(255**2 / mse)).mean()), 3),
        "psnr_of_mean_db": round(float(10 * np.log10(255**2 / mse.mean())), 3),
    }
