"""How far painted pictures are from real ones, by the features of a network of the user's: FID, blurred FID-k, IS.

    frechet_distance(features_ND, features_MD)          # FID (arXiv 1706.08500)
    inception_score(logits_NC)                          # IS (arXiv 1606.03498)
    blurred(pictures, radius=4)                         # FID-4 is that of pictures that were blurred so

CogView and DALL·E report FID-k of pictures blurred by a Gaussian of radius k: what codes lose of detail hides behind
it, and what a picture shows does not. All sums are in 64 bits. FID of few pictures is too large, by an amount that
depends on their number: compare distances of equal numbers alone.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ...tokenize.image_codes import Pictures

RADII = (0, 1, 2, 4, 8)
Features = NDArray[np.floating]


def frechet_distance(a_ND: Features, b_MD: Features) -> float:
    """|μa − μb|² + tr(Σa + Σb − 2·(Σa·Σb)^½). Raises ValueError for fewer than two rows."""
    if min(len(a_ND), len(b_MD)) < 2:
        raise ValueError("a covariance needs two pictures")
    a, b = (np.asarray(each, np.float64) for each in (a_ND, b_MD))
    sigma_a, sigma_b = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (a, b))
    # Σa·Σb has the eigenvalues of the symmetric Σa^½·Σb·Σa^½, whose roots are safe where a covariance is singular.
    root_a = _root(sigma_a)
    eigenvalues = np.linalg.eigvalsh(root_a @ sigma_b @ root_a)
    mixed = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    return float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(sigma_a) + np.trace(sigma_b) - 2 * mixed)


def _root(symmetric: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(symmetric)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def inception_score(logits_NC: Features, splits: int = 10) -> tuple[float, float]:
    """The mean and the standard deviation over `splits` parts of exp(mean KL(p(class | picture) ‖ p(class)))."""
    logits = np.asarray(logits_NC, np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    scores = []
    for part in np.array_split(log_p, min(splits, len(log_p))):
        marginal = np.exp(part).mean(axis=0)
        scores.append(float(np.exp((np.exp(part) * (part - np.log(marginal))).sum(axis=1).mean())))
    return float(np.mean(scores)), float(np.std(scores))


def blurred(pictures: Pictures, radius: int) -> Pictures:
    if not radius:
        return pictures
    blur = ImageFilter.GaussianBlur(radius)
    return np.stack([np.asarray(Image.fromarray(picture).filter(blur)) for picture in pictures])
