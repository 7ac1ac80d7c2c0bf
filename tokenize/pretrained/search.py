"""The entry of a codebook that a latent becomes, in float32 whatever the network computes in.

    codes = nearest(latents, entries)            # (N, D), (K, D) → int64 (N), by Euclidean distance
    codes = most_similar(latents, entries)       # by the largest dot product

Codebooks are searched 16,384 entries at a time with a running minimum: 131,072 entries for 16 pictures of 256 codes
would take 2 GiB of scores, and the parts are no slower. Of equal entries the first wins, as in the originals.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..devices import exact

_ENTRIES = 16_384  # at a time


def nearest(latents: Tensor, entries: Tensor, *, fused: bool = False) -> Tensor:
    """|z|² + |e|² − 2 z·e, added up as taming does; `fused` as MaskGIT-VQGAN, RQ-VAE and VAR do.

    Each gives other last bits, so that an adapter takes the one of its original.
    """
    with exact(latents.device):
        latents = latents.float()
        norms = latents.square().sum(1, keepdim=True)

        def distances(some: Tensor) -> Tensor:
            both = norms + some.square().sum(1)
            return torch.addmm(both, latents, some.T, alpha=-2) if fused else both - 2 * (latents @ some.T)

        return _least(distances, entries.float())


def most_similar(latents: Tensor, entries: Tensor) -> Tensor:
    with exact(latents.device):
        latents = latents.float()
        return _least(lambda some: -(latents @ some.T), entries.float())


def _least(score: Callable[[Tensor], Tensor], entries: Tensor) -> Tensor:
    """The row of `entries` with the least score, for each column of scores (N, K)."""
    scores = score(entries[:_ENTRIES])
    best = scores.argmin(1)
    if len(entries) <= _ENTRIES:
        return best
    least = scores.gather(1, best[:, None])[:, 0]
    for start in range(_ENTRIES, len(entries), _ENTRIES):
        scores = score(entries[start : start + _ENTRIES])
        found = scores.argmin(1)
        lesser = scores.gather(1, found[:, None])[:, 0]
        best = torch.where(lesser < least, found + start, best)
        least = torch.minimum(least, lesser)
    return best
