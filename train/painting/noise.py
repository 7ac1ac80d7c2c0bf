"""The noise of one sample: a stream of its own, keyed by the seed, what is continued, and the number of the sample.

    stream = noise_stream(seed=0, prompt=[1026, 17, 1088], sample=3)
    noise_RK = gumbel_noise([stream], codebook_size=1024)       # the next (1, 1024) of it

So a sample depends on nothing else that is drawn in the same call. Shapes: R rows, K choices.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def noise_stream(seed: int, prompt: Sequence[int], sample: int) -> torch.Generator:
    """What the noise of one sample is drawn from, code after code."""
    name = f"{seed}/{sample}/{','.join(map(str, prompt))}"
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little", signed=True))


def gumbel_noise(streams_R: Sequence[torch.Generator], codebook_size: int) -> Tensor:
    """Noise (R, K) of one code: the one with the largest logit / temperature + noise is a draw from the softmax."""
    # Drawn a code at a time: that of a whole picture of 1,024 codes of 8,192 is 32 MB a row.
    return -torch.stack([torch.empty(codebook_size).exponential_(generator=each) for each in streams_R]).log()
