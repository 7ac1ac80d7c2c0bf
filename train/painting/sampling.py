"""Prompts → picture codes: the model continues `[ROI1] text [BASE] [BOI1]`, one code at a time.

In: the ids of each prompt and the positions that the layout gives them; out: codes (prompts, samples, num_codes).

    codes_PSN, scores_PS = sample_codes(model, [ids], [positions], num_samples=4, seed=0, config=SamplingConfig())

Each sample draws from a noise stream of its own, keyed by (seed, prompt, sample number), so a picture does not depend
on what else is sampled in the same call. Prompts of equal length share a batch: no padding, no mask.

Shapes: P prompts, S samples of each, R rows a batch, L ids of a prompt, N codes of a picture, K size of a codebook.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ...tokenize.precision import Precision, autocast, matmul_dtype
from ..transformer.model import Transformer
from .decoder import Decoder
from .noise import gumbel_noise, noise_stream

# Every batch has as many rows: kernels for 3 rows and for 16 differ in the last bits, and so would the pictures.
BATCH_ROWS = 16


class DrawOptions(TypedDict, total=False):
    """How codes are drawn: what the user of a run can choose, as `SamplingConfig` describes it."""

    temperature: float
    top_k: int
    top_p: float
    guidance: float


class SamplingConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    num_codes: int = Field(default=64, gt=0)  # of a picture
    codebook_size: int = Field(default=1024, gt=0)
    codebooks: int = Field(default=1, gt=0)  # code n is one of codebook n mod codebooks
    temperature: float = Field(default=1.0, ge=0)  # 0 always takes the likeliest code; 1 samples as trained
    top_k: int = Field(default=200, gt=0)  # only so many likeliest codes can be drawn
    top_p: float = Field(default=1.0, gt=0, le=1)  # of those, only the fewest likeliest that make up this probability
    guidance: float = Field(default=1.0, ge=0)  # how far from the logits without a caption; 1: as the caption says
    precision: Precision = "auto"  # of matrix products


def choose_codes(logits_RK: Tensor, noise_RK: Tensor, config: SamplingConfig) -> Tensor:
    """One code for each row (R,), drawn from its top_k likeliest, of which the likeliest make up top_p."""
    if config.temperature == 0:
        return logits_RK.argmax(dim=-1)
    least_R1 = logits_RK.topk(min(config.top_k, logits_RK.shape[1])).values[:, -1:]
    scaled_RK, out_RK = logits_RK / config.temperature, logits_RK < least_R1
    if config.top_p < 1:
        out_RK = out_RK | outside_nucleus(scaled_RK.masked_fill(out_RK, float("-inf")), config.top_p)
    return (scaled_RK + noise_RK).masked_fill(out_RK, float("-inf")).argmax(dim=-1)


def outside_nucleus(logits_RK: Tensor, top_p: float) -> Tensor:
    """True (R, K) for the codes before which likelier ones make up top_p already; never for the likeliest."""
    sorted_RK, codes_RK = logits_RK.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    before_RK = sorted_RK.cumsum(dim=-1) - sorted_RK
    return torch.zeros_like(codes_RK, dtype=torch.bool).scatter(1, codes_RK, before_RK >= top_p)


@torch.no_grad()  # not inference_mode: there autocast casts every weight anew at every step (1.6 times the time)
def sample_batch(
    model: Transformer,
    prompt: tuple[Tensor, Tensor],
    empty: tuple[Tensor, Tensor] | None,
    streams_R: list[torch.Generator],
    config: SamplingConfig,
) -> tuple[Tensor, Tensor]:
    """Codes (R, N) for prompts of equal length, and their mean log-probability at temperature 1 (R,), in nats.

    `prompt`, and `empty` where there is guidance, are ids and positions, (R, L) each.
    """
    device = prompt[0].device
    captioned = Decoder(model, *prompt, config.num_codes)
    without = Decoder(model, *empty, config.num_codes) if empty else None
    codes: list[Tensor] = []
    score_R = torch.zeros(len(streams_R), device=device)
    with autocast(device, matmul_dtype(config.precision, device)):
        for n in range(config.num_codes):
            first = n % config.codebooks * config.codebook_size  # id of the codebook that this code is drawn from
            book = slice(first, first + config.codebook_size)
            logits_RK = guided_RK = captioned.logits_RV()[:, book].float()
            if without is not None:
                guided_RK = torch.lerp(without.logits_RV()[:, book].float(), logits_RK, config.guidance)
            noise_RK = gumbel_noise(streams_R, config.codebook_size).to(device)
            codes.append(choose_codes(guided_RK, noise_RK, config))
            score_R += logits_RK.log_softmax(dim=-1).gather(1, codes[-1][:, None])[:, 0]
            for decoder in (captioned, without):
                if decoder is not None:
                    decoder.append(first + codes[-1])
    return torch.stack(codes, dim=1), score_R / config.num_codes


def sample_codes(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    num_samples: int,
    seed: int,
    config: SamplingConfig,
    empty: tuple[Iterable[int], Iterable[int]] | None = None,
    on_sampled: Callable[[int], None] = lambda num_pictures: None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Codes (P, S, N) and scores (P, S): the mean log-probability of a picture's codes, in nats per code.

    Picture ids come first in the vocabulary, one codebook after the other. `on_sampled` is called after each batch with
    the number of its pictures. `empty` has ids and positions of the prompt without a caption, for guidance; the scores
    are those of the captions alone.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    codes_PSN = np.zeros((len(prompts), num_samples, config.num_codes), np.int64)
    scores_PS = np.zeros((len(prompts), num_samples), np.float32)
    guides = None
    if config.guidance != 1:
        assert empty is not None
        ids_RL, positions_RL = (torch.tensor([list(each)] * BATCH_ROWS, device=device) for each in empty)
        guides = ids_RL, positions_RL
    for rows, num_real in batches_of_equal_length(prompts, num_samples):
        ids_RL = torch.tensor([list(prompts[p]) for p, _ in rows], device=device)
        positions_RL = torch.tensor([list(positions[p]) for p, _ in rows], device=device)
        streams_R = [noise_stream(seed, prompts[p], s) for p, s in rows]
        codes_RN, score_R = sample_batch(model, (ids_RL, positions_RL), guides, streams_R, config)
        p_R, s_R = (list(indices) for indices in zip(*rows[:num_real], strict=True))
        codes_PSN[p_R, s_R] = codes_RN[:num_real].cpu().numpy()
        scores_PS[p_R, s_R] = score_R[:num_real].cpu().numpy()
        on_sampled(num_real)
    model.train(was_training)
    return codes_PSN, scores_PS


def batches_of_equal_length(
    prompts: Sequence[Sequence[int]], num_samples: int
) -> list[tuple[list[tuple[int, int]], int]]:
    """All (prompt, sample) pairs in batches of BATCH_ROWS, each with prompts of one length; how many of it are real.

    The last pair fills a batch up.
    """
    by_length: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for p, prompt in enumerate(prompts):
        by_length[len(prompt)] += [(p, s) for s in range(num_samples)]
    cut = [rows[i : i + BATCH_ROWS] for rows in by_length.values() for i in range(0, len(rows), BATCH_ROWS)]
    return [(rows + rows[-1:] * (BATCH_ROWS - len(rows)), len(rows)) for rows in cut]
