"""Codes → finer codes of the same picture, window by window, by a run that was trained with `refine`.

    finer_RM = refine_codes(model, layout, texts, codes_RN, seed=0, config=SamplingConfig(temperature=0))

Windows overlap by half. What a window shares with earlier ones is given to it, and it paints the rest. The windows of a
wave share nothing that is not painted yet, so a code of each of them is painted at a time: 192 steps for 256 codes of
16 × 16 in windows of 8 × 8, and the more the larger the picture.

A picture's finer codes depend on nothing that is refined beside it: batches always have as many rows, and a window
draws from a noise stream of its own.

Shapes: R pictures, N codes and M finer codes of each, B rows of a batch (a window of a picture each), L tokens.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ...tokenize.finer_sequence import FinerLayout, Origin
from ...tokenize.precision import autocast, matmul_dtype
from ..transformer.model import Transformer
from .noise import gumbel_noise, noise_stream
from .sampling import SamplingConfig, choose_codes

PICTURES_AT_ONCE = 4
_UNPAINTED = -1


@torch.no_grad()
def refine_codes(
    model: Transformer,
    layout: FinerLayout,
    texts: Sequence[Sequence[int]],
    codes_RN: NDArray[np.int64],
    seed: int,
    config: SamplingConfig,
    on_refined: Callable[[int], None] = lambda num_pictures: None,
) -> NDArray[np.int64]:
    """Finer codes (R, M) of pictures with the captions `texts`. `config` says how codes are drawn."""
    finer_RM = np.full((len(codes_RN), layout.num_places), _UNPAINTED, np.int64)
    by_length: dict[int, list[int]] = defaultdict(list)
    for picture, text in enumerate(texts):
        by_length[min(len(text), layout.read.text_max)].append(picture)
    for same in by_length.values():
        for start in range(0, len(same), PICTURES_AT_ONCE):
            pictures = same[start : start + PICTURES_AT_ONCE]
            filled_up = pictures + pictures[-1:] * (PICTURES_AT_ONCE - len(pictures))
            finer = finer_RM[filled_up]
            for windows in layout.waves():
                _paint(
                    model,
                    layout,
                    [list(texts[r]) for r in filled_up],
                    codes_RN[filled_up],
                    finer,
                    windows,
                    seed,
                    config,
                )
            finer_RM[pictures] = finer[: len(pictures)]
            on_refined(len(pictures))
    return finer_RM


def _paint(
    model: Transformer,
    layout: FinerLayout,
    texts: list[list[int]],
    codes: NDArray[np.int64],
    finer: NDArray[np.int64],
    windows: list[Origin],
    seed: int,
    config: SamplingConfig,
) -> None:
    """Paint what is not painted yet in a wave of windows of some pictures, into `finer` (pictures, M)."""
    rows = [(picture, window) for window in windows for picture in range(len(texts))]
    device, num_codes = next(model.parameters()).device, layout.num_codes
    prompts = [layout.prompt(texts[picture], codes[picture], window) for picture, window in rows]
    streams = [noise_stream(seed, [*ids, *window], 0) for (ids, _), (_, window) in zip(prompts, rows, strict=True)]
    picture_B1 = np.array([picture for picture, _ in rows])[:, None]
    place_BN = np.stack([layout.places(window) for _, window in rows])
    positions_BN = torch.tensor(np.stack([layout.second_part(window)[3:-1] for _, window in rows]), device=device)
    painted_BN = finer[picture_B1, place_BN]
    is_given_BN = torch.from_numpy(painted_BN != _UNPAINTED).to(device)
    codes_BN = torch.from_numpy(painted_BN).to(device)
    under_BN = torch.tensor(
        np.stack([layout.under_codes(codes[picture], window) for picture, window in rows]), device=device
    )
    ids_BL, positions_BL = (torch.tensor(np.stack(each), device=device) for each in zip(*prompts, strict=True))
    nothing_BL = torch.full_like(ids_BL[:, 1:], -1)
    waiting = [(ids_BL, positions_BL, torch.cat((nothing_BL, under_BN[:, :1]), dim=1))]  # to be read
    cache = model.new_cache(len(prompts[0][0]) + num_codes)
    book = slice(layout.code_offset, layout.code_offset + layout.codebook)
    with autocast(device, matmul_dtype(config.precision, device)):
        for n in range(num_codes):
            if not is_given_BN[:, n].all():
                ids_BL, positions_BL, under_BL = (torch.cat(each, dim=1) for each in zip(*waiting, strict=True))
                logits_BLV = model(ids_BL, positions_BL, cache, under_BL=under_BL)
                noise_BK = gumbel_noise(streams, layout.codebook).to(device)
                drawn_B = choose_codes(logits_BLV[:, -1, book].float(), noise_BK, config)
                codes_BN[:, n] = torch.where(is_given_BN[:, n], codes_BN[:, n], drawn_B)
                waiting = []
            after = slice(n + 1, n + 2)  # what is read together with a code says where the next one lies
            waiting.append(
                (layout.code_offset + codes_BN[:, n : n + 1], positions_BN[:, n : n + 1], under_BN[:, after])
            )
    finer[picture_B1, place_BN] = codes_BN.cpu().numpy()
