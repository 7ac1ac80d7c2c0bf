"""Prompts → pictures, with a run's own caption ids, layout and image tokenizer.

    pictures, scores = sample_pictures(run, ["一只蜜蜂"], count=16, seed=0)      # (1, 16, side, side, 3), (1, 16)

`--best` keeps those with the highest scores, by one of the judges of `choosing`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ...manifests.atomic import whole_file
from ...manifests.errors import BadInput
from ...pipeline.captions.text import normalise
from ...pipeline.executor.progress import progress
from ...tokenize.image_codes import Pictures
from ...tokenize.quality import decode_in_batches
from ..run.run import Run
from ..transformer.model import Transformer
from .choosing import Choice, check_choice, scores
from .sampling import DrawOptions, SamplingConfig, sample_codes

LIKELIEST = Choice()


@dataclass(frozen=True)
class Sampled:
    """P prompts, S pictures of each, N codes of a picture."""

    run: Run
    model: Transformer
    prompts: list[str]  # as the model has read them
    texts: list[list[int]]
    codes_PSN: NDArray[np.int64]
    likelihoods_PS: NDArray[np.float32]

    def chosen(self, numbers_P: NDArray[np.int64]) -> Pictures:
        """One picture of each prompt, by the number of its sample: (P, side, side, 3)."""
        return self._decoded(self.codes_PSN[np.arange(len(self.texts)), numbers_P])

    def pictures(self) -> Pictures:
        """All pictures: (P, S, side, side, 3)."""
        flat = self._decoded(self.codes_PSN.reshape(-1, self.codes_PSN.shape[2]))
        return flat.reshape(*self.codes_PSN.shape[:2], *flat.shape[1:])

    def _decoded(self, codes_RN: NDArray[np.int64]) -> Pictures:
        image_codes = self.run.image_codes
        return decode_in_batches(image_codes, codes_RN.reshape(-1, *image_codes.identity.shape))


def sample(run: Run, prompts: list[str], count: int, seed: int, **options: Unpack[DrawOptions]) -> Sampled:
    """The codes of `count` pictures for each prompt.

    Raises BadInput for an empty prompt, for a run that has no checkpoint yet, and for guidance of one that dropped no
    captions.
    """
    torch.set_num_threads(run.document.threads)
    layout, caption_ids = run.layout, run.caption_ids
    read = [normalise(prompt, simplify=True) for prompt in prompts]
    texts = [caption_ids.encode(prompt) for prompt in read]
    silent = [prompt for prompt, text in zip(prompts, texts, strict=True) if not text]
    if silent:
        raise BadInput(f"the prompt {silent[0]!r} is empty", cure="say what the picture should show")
    ids, positions = zip(*(layout.prompt(text) for text in texts), strict=True)
    config = SamplingConfig(
        num_codes=layout.num_codes,
        codebook_size=layout.codebook,
        codebooks=layout.codebooks,
        precision=run.document.precision,
        **options,
    )
    if config.guidance != 1 and not run.document.settings.drop_captions:
        raise BadInput(
            f"{run.folder.path}: has seen no picture without its caption, so it cannot be guided away from those",
            cure="leave --guidance away, or train with --set train.drop_captions=0.1 in another --out",
        )
    with progress("sample", len(prompts) * count, "picture") as advance:
        model, empty = run.load_model(), layout.prompt([])
        codes, likelihoods = sample_codes(model, ids, positions, count, seed, config, empty, advance)
    return Sampled(run, model, read, texts, codes, likelihoods)


def sample_pictures(
    run: Run, prompts: list[str], count: int, seed: int, choice: Choice = LIKELIEST, **options: Unpack[DrawOptions]
) -> tuple[Pictures, NDArray[np.float32]]:
    """Pictures (prompts, count, side, side, 3) uint8 and scores (prompts, count).

    Raises BadInput as `sample` and `check_choice` do, and for a run whose image tokenizer is missing.
    """
    check_choice(run, choice)
    sampled = sample(run, prompts, count, seed, **options)
    return sampled.pictures(), scores(sampled, choice)


def sample_prompt(
    run: Run,
    prompt: str,
    file: Path,
    *,
    count: int,
    best: int,
    seed: int,
    choice: Choice,
    **options: Unpack[DrawOptions],
) -> list[float]:
    """Sample `count` pictures, save the `best` side by side as a PNG, and return their scores."""
    pictures, scores_PS = sample_pictures(run, [prompt], count, seed, choice, **options)
    order = np.argsort(-scores_PS[0], kind="stable")[:best]
    save_grid(file, pictures[0][order])
    return [round(float(score), 4) for score in scores_PS[0][order]]


def save_grid(file: Path, pictures: Pictures, columns: int = 8, scale: int = 2) -> None:
    """Write pictures (n, side, side, 3) as one PNG, `columns` to a row, enlarged `scale` times."""
    rows: list[Pictures] = []
    columns = min(columns, len(pictures))
    for start in range(0, len(pictures), columns):
        row = list(pictures[start : start + columns])
        row += [np.full_like(row[0], 255)] * (columns - len(row))
        rows.append(np.concatenate(row, axis=1))
    grid = np.concatenate(rows).repeat(scale, axis=0).repeat(scale, axis=1)
    with whole_file(file) as temporary:
        Image.fromarray(grid).save(temporary, format="PNG", optimize=True)
