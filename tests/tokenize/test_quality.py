"""PSNR, SSIM and the use of codebooks, against their definitions."""

import numpy as np
import pytest

from tuwen.tokenize.image_codes import ImageTokenizerIdentity
from tuwen.tokenize.open_image_codes import SHIPPED, open_image_codes
from tuwen.tokenize.quality import codebook_use, count_codes, measure_quality, psnr, ssim

from .small_pictures import some_pictures


def test_a_perfect_picture_has_59_db_and_a_mean_over_pictures_is_not_that_of_their_errors() -> None:
    black = np.zeros((2, 64, 64, 3), np.uint8)
    assert psnr(black, black) == {"psnr_mean_db": 58.923, "psnr_of_mean_db": 58.923}
    spoilt = black.copy()
    spoilt[0] = 16  # mean squared error 256: 24.05 dB; with the other picture's 1/12: 27.06 dB
    assert psnr(black, spoilt) == {"psnr_mean_db": 41.486, "psnr_of_mean_db": 27.057}


def test_the_quality_of_a_tokenizer_does_not_depend_on_how_many_pictures_are_in_memory() -> None:
    image_codes = open_image_codes(SHIPPED / "compact-64")
    pictures = np.concatenate([some_pictures()] * 4)[:70]  # more than one batch
    quality = measure_quality(image_codes, pictures)
    codes = image_codes.encode(pictures)
    assert quality["pictures"] == 70
    assert {name: quality[name] for name in ("psnr_mean_db", "psnr_of_mean_db")} == psnr(
        pictures, image_codes.decode(codes)
    )
    assert quality["codebook_used"] == round(len(np.unique(codes)) / 1024, 4)
    assert (quality["flat"], quality["dead_codebooks"]) == (0, 0)
    assert quality["gain_db"] > 0


def test_ssim_is_that_of_wang_window_by_window(generator: np.random.Generator) -> None:
    original = generator.integers(0, 256, (1, 16, 18, 3), dtype=np.uint8)
    restored = np.clip(original + generator.normal(0, 30, original.shape), 0, 255).astype(np.uint8)
    weights = np.array([0.299, 0.587, 0.114])
    window = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    a, b, values = original[0] @ weights, restored[0] @ weights, []
    for top in range(16 - 10):
        for left in range(18 - 10):
            x, y = a[top : top + 11, left : left + 11], b[top : top + 11, left : left + 11]
            mean_x, mean_y = (window * x).sum(), (window * y).sum()
            var_x, var_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
            covariance = (window * (x - mean_x) * (y - mean_y)).sum()
            c1, c2 = 2.55**2, 7.65**2
            values.append(
                (2 * mean_x * mean_y + c1)
                * (2 * covariance + c2)
                / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
            )
    assert ssim(original, restored) == pytest.approx(np.mean(values), abs=1e-9)
    assert ssim(original, original) == pytest.approx(1)


def test_the_use_of_two_codebooks_is_counted_apart_and_a_dead_one_is_found() -> None:
    identity = ImageTokenizerIdentity("two", "", "", 4, (2,), 8, "float32", codebooks=2)
    codes = np.array([[[0, 3], [1, 3]], [[2, 3], [3, 3]]])
    counts = count_codes(codes, identity)
    assert counts.tolist() == [[1, 1, 1, 1], [0, 0, 0, 4]]
    assert codebook_use(counts) == {"codebook_used": 0.625, "perplexity": 2.5, "dead_codebooks": 1}
    assert (count_codes(codes.reshape(2, -1), identity) == counts).all()
