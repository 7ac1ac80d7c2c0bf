"""From prompts to picture codes: the painter continues `[ROI1] text [BASE] [BOI1]`, a code at a time.

In: prompt ids, each with the positions that the layout gives them; out: codes (prompts, samples, num_codes).

    codes_PSN, scores_PS = paint(model, [ids], [positions], num_samples=4, seed=0, config=SamplingConfig())

Every sample has a noise stream of its own, keyed by (seed, prompt, sample number), so the picture of a prompt does not
depend on what else is painted beside it. Prompts of one length are painted together: no padding, no mask.

Shapes: P prompts, S samples of each, R rows painted together, N codes of a picture, K codes to choose from.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..tokenize.precision import Precision, autocast, matmul_dtype
from .model import Transformer

# Painted at a time, always: kernels for 3 rows and for 16 differ in the last bits, and so would the pictures.
ROWS = 16


class SamplingConfig(BaseModel):
    """How bold the painter is. Temperature 0 always takes the likeliest code."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_codes: int = Field(default=64, gt=0)
    codebook_size: int = Field(default=1024, gt=0)
    temperature: float = Field(default=1.0, ge=0)
    top_k: int = Field(default=200, gt=0)
    precision: Precision = "auto"


def noise_of(seed: int, prompt: Sequence[int], sample: int, shape: tuple[int, int]) -> Tensor:
    """Gumbel noise (N, K): the code with the largest logit / temperature + noise is a draw from the softmax."""
    name = f"{seed}/{sample}/{','.join(map(str, prompt))}"
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    stream = torch.Generator().manual_seed(int.from_bytes(digest, "little", signed=True))
    return -torch.empty(shape).exponential_(generator=stream).log()


def choose(logits_RK: Tensor, noise_RK: Tensor, config: SamplingConfig) -> Tensor:
    """One code a row (R,), among the top_k likeliest."""
    if config.temperature == 0:
        return logits_RK.argmax(dim=-1)
    least_R1 = logits_RK.topk(min(config.top_k, logits_RK.shape[1])).values[:, -1:]
    scores_RK = (logits_RK / config.temperature + noise_RK).masked_fill(logits_RK < least_R1, float("-inf"))
    return scores_RK.argmax(dim=-1)


@torch.no_grad()  # not inference_mode: there autocast casts every weight anew at every step (1.6 times the time)
def sample_rows(
    model: Transformer, ids_RL: Tensor, positions_RL: Tensor, noise_RNK: Tensor, config: SamplingConfig
) -> tuple[Tensor, Tensor]:
    """Codes (R, N) of prompts that have the same length L, and their mean log-probability at temperature 1 (R,)."""
    device = ids_RL.device
    cache = model.new_cache()
    ids, positions, codes = ids_RL, positions_RL, []
    score_R = torch.zeros(len(ids_RL), device=device)
    with autocast(device, matmul_dtype(config.precision, device)):
        for n in range(config.num_codes):
            logits_RK = model(ids, positions, cache)[:, -1, : config.codebook_size].float()
            codes.append(choose(logits_RK, noise_RNK[:, n], config))
            score_R += logits_RK.log_softmax(dim=-1).gather(1, codes[-1][:, None])[:, 0]
            ids, positions = codes[-1][:, None], positions[:, -1:] + 1
    return torch.stack(codes, dim=1), score_R / config.num_codes


def paint(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    num_samples: int,
    seed: int,
    config: SamplingConfig,
    on_painted: Callable[[int], None] = lambda num_pictures: None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Codes (P, S, N) of `num_samples` pictures a prompt, and scores (P, S): mean log-probability of a code, in nats.

    Picture ids come first in the vocabulary, so the ids 0..codebook_size-1 are the codes themselves.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    shape = (config.num_codes, config.codebook_size)
    codes_PSN = np.zeros((len(prompts), num_samples, config.num_codes), np.int64)
    scores_PS = np.zeros((len(prompts), num_samples), np.float32)
    for rows in rows_of_one_length(prompts, num_samples):
        filled = [*rows, *[rows[-1]] * (ROWS - len(rows))]
        ids_RL = torch.tensor([list(prompts[p]) for p, _ in filled], device=device)
        positions_RL = torch.tensor([list(positions[p]) for p, _ in filled], device=device)
        noise_RNK = torch.stack([noise_of(seed, prompts[p], s, shape) for p, s in filled]).to(device)
        codes_RN, score_R = sample_rows(model, ids_RL, positions_RL, noise_RNK, config)
        places = tuple(zip(*rows, strict=True))
        codes_PSN[places], scores_PS[places] = codes_RN[: len(rows)].cpu().numpy(), score_R[: len(rows)].cpu().numpy()
        on_painted(len(rows))
    model.train(was_training)
    return codes_PSN, scores_PS


def rows_of_one_length(prompts: Sequence[Sequence[int]], num_samples: int) -> list[list[tuple[int, int]]]:
    """(prompt, sample) pairs, grouped so that each group is one rectangle of at most ROWS rows."""
    by_length: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for p, prompt in enumerate(prompts):
        by_length[len(prompt)] += [(p, s) for s in range(num_samples)]
    return [rows[i : i + ROWS] for rows in by_length.values() for i in range(0, len(rows), ROWS)]
