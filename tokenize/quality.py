"""How well an image tokenizer brings pictures back: PSNR in dB, and how much of the codebook is used.

quality = measure_quality(image_codes, pictures)
quality["psnr_mean_db"], quality["psnr_of_mean_db"], quality["codebook_used"]     # 25.5, 23.3, 0.98
"""

from typing import TypedDict

import numpy as np

from .image_codes import Codes, ImageCodes, Pictures

_PERFECT_MSE = 1 / 12  # of rounding; a perfect picture counts as 58.9 dB, not as infinite
_BATCH = 64  # pictures in memory at a time as float32; a multiple of the tokenizer's own batch


class Psnr(TypedDict):
    """Peak signal-to-noise ratio of uint8 RGB, in dB."""

    psnr_mean_db: float  # mean of the pictures' own PSNRs
    psnr_of_mean_db: float  # PSNR of their mean squared error


class Quality(Psnr):
    codebook_used: float  # share of the codes that occur, 0 … 1


def measure_quality(image_codes: ImageCodes, pictures: Pictures) -> Quality:
    """`pictures` are uint8 (n, side, side, 3)."""
    batches = [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]
    codes = np.concatenate([image_codes.encode(batch) for batch in batches])
    used = len(np.unique(codes)) / image_codes.identity.codebook
    return Quality(**psnr(pictures, decode_in_batches(image_codes, codes)), codebook_used=round(used, 4))


def decode_in_batches(image_codes: ImageCodes, codes: Codes) -> Pictures:
    """int64 (n, h, w) → uint8 (n, side, side, 3), 64 pictures at a time."""
    return np.concatenate([image_codes.decode(codes[start : start + _BATCH]) for start in range(0, len(codes), _BATCH)])


def psnr(original: Pictures, restored: Pictures) -> Psnr:
    """Both are uint8 (n, side, side, 3)."""
    squared = (original.astype(np.float64) - restored).reshape(len(original), -1) ** 2
    mse = np.maximum(squared.mean(axis=1), _PERFECT_MSE)
    return Psnr(
        psnr_mean_db=round(float((10 * np.log10(255**2 / mse)).mean()), 3),
        psnr_of_mean_db=round(float(10 * np.log10(255**2 / mse.mean())), 3),
    )
