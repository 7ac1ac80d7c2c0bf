"""How well an image tokenizer brings pictures back: PSNR in dB, SSIM, and how much of the codebook is used.

quality = measure_quality(image_codes, pictures)
quality["psnr_mean_db"], quality["ssim"], quality["codebook_used"], quality["perplexity"]     # 25.5, 0.86, 0.98, 790.0
quality["gain_db"]        # 4.1: so much better than one mean colour for each cell of the grid
"""

from typing import Any, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .image_codes import Codes, ImageCodes, ImageTokenizerIdentity, Pictures

_PERFECT_MSE = 1 / 12  # of rounding; a perfect picture counts as 58.9 dB, not as infinite
_BATCH = 64  # pictures in memory at a time as float32; a multiple of the tokenizer's own batch
_FLAT_STD = 2.0  # levels of 255: below it a picture is of one colour


class Psnr(TypedDict):
    """Peak signal-to-noise ratio of uint8 RGB, in dB."""

    psnr_mean_db: float  # mean of the pictures' own PSNRs
    psnr_of_mean_db: float  # PSNR of their mean squared error


class CodebookUse(TypedDict):
    """How codes use the codebook; means where there are several."""

    codebook_used: float  # share of the codes that occur, 0 … 1
    perplexity: float  # exp of the entropy of the codes; at most the size of the codebook
    dead_codebooks: int  # of which one code alone occurs


class Quality(Psnr, CodebookUse):
    pictures: int
    ssim: float  # mean, of the luminance
    gain_db: float  # mean PSNR above that of one mean colour a cell: it depends less on what the pictures show
    flat: int  # pictures that come back as one colour, though they are not


def measure_quality(image_codes: ImageCodes, pictures: Pictures) -> Quality:
    """`pictures` are uint8 (n, side, side, 3); they are encoded and decoded."""
    batches = [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]
    codes = np.concatenate([image_codes.encode(batch) for batch in batches])
    return quality_of_codes(image_codes, pictures, codes, codes)


def quality_of_codes(image_codes: ImageCodes, pictures: Pictures, codes: Codes, all_codes: Codes) -> Quality:
    """`codes` are those of `pictures`; the use of the codebook is that of `all_codes`."""
    restored = decode_in_batches(image_codes, codes)
    identity = image_codes.identity
    measured = psnr(pictures, restored)
    cells = psnr(pictures, _cell_means(pictures, identity))
    is_flat = (_std(restored) < _FLAT_STD) & (_std(pictures) > 2 * _FLAT_STD)
    return Quality(
        pictures=len(pictures),
        **measured,
        ssim=round(ssim(pictures, restored), 4),
        gain_db=round(measured["psnr_mean_db"] - cells["psnr_mean_db"], 3),
        flat=int(is_flat.sum()),
        **codebook_use(count_codes(all_codes, identity)),
    )


def decode_in_batches(image_codes: ImageCodes, codes: Codes) -> Pictures:
    """int64 (n, *shape) → uint8 (n, side, side, 3), 64 pictures at a time."""
    return np.concatenate([image_codes.decode(codes[start : start + _BATCH]) for start in range(0, len(codes), _BATCH)])


def psnr(original: Pictures, restored: Pictures) -> Psnr:
    """Both are uint8 (n, side, side, 3)."""
    squared = (original.astype(np.float64) - restored).reshape(len(original), -1) ** 2
    mse = np.maximum(squared.mean(axis=1), _PERFECT_MSE)
    return Psnr(
        psnr_mean_db=round(float((10 * np.log10(255**2 / mse)).mean()), 3),
        psnr_of_mean_db=round(float(10 * np.log10(255**2 / mse.mean())), 3),
    )


def ssim(original: Pictures, restored: Pictures) -> float:
    """Mean structural similarity of the luminance, for uint8 (n, side, side, 3).

    As Wang et al. (2004) define it: Gaussian windows of 11 px with σ = 1.5, inside the picture, population moments.
    """
    a, b = _luminance(original), _luminance(restored)
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance_a, variance_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similar /= (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return float(similar.mean())


def count_codes(codes: NDArray[Any], identity: ImageTokenizerIdentity) -> NDArray[np.int64]:
    """How often each code of each codebook occurs in codes (n, *shape), or flat ones: (codebooks, codebook)."""
    by_codebook = codes.reshape(-1, identity.codebooks).T
    return np.stack([np.bincount(row, minlength=identity.codebook) for row in by_codebook.astype(np.int64)])


def codebook_use(counts: NDArray[np.int64]) -> CodebookUse:
    """`counts` are (codebooks, codebook), as `count_codes` gives them."""
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    return CodebookUse(
        codebook_used=round(float((counts > 0).mean()), 4),
        perplexity=round(float(np.exp(entropy).mean()), 1),
        dead_codebooks=int(((counts > 0).sum(axis=1) == 1).sum()),
    )


def _cell_means(pictures: Pictures, identity: ImageTokenizerIdentity) -> Pictures:
    """The pictures as one colour a cell; of a 1-D tokenizer there are as many cells as codes, or a few less."""
    grid = identity.grid if len(identity.grid) == 2 else (int(identity.grid[0] ** 0.5),) * 2
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).double()
    means = F.interpolate(F.adaptive_avg_pool2d(pixels, grid), size=pixels.shape[2:], mode="nearest")
    return means.round().byte().permute(0, 2, 3, 1).numpy()


def _std(pictures: Pictures) -> NDArray[np.float64]:
    """The standard deviation of the channel that varies most, of each picture."""
    flat = pictures.reshape(len(pictures), -1, 3).astype(np.float64)
    deviation: NDArray[np.float64] = flat.std(axis=1).max(axis=1)
    return deviation


def _luminance(pictures: Pictures) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    return (torch.from_numpy(pictures).double() @ weights)[:, None]  # (n, 1, side, side)


def _blurred(rows: Tensor) -> Tensor:
    """(n, 1, h, w) → (n, 1, h − 10, w − 10), or with a smaller window where the picture is smaller."""
    side = min(rows.shape[2:])
    size = min(11, side - 1 + side % 2)  # an odd number
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    window = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = (window / window.sum())[None, None, None]
    return F.conv2d(F.conv2d(rows, window), window.transpose(2, 3))
