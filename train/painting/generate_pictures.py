"""Prompts → pictures, with a run's own caption ids, layout and image tokenizer.

    pictures, scores = sample_pictures(run, ["一只蜜蜂"], count=16, seed=0)      # (1, 16, side, side, 3), (1, 16)

`--best` keeps those with the highest scores, by one of the judges of `choosing`. `--refine` continues their codes with
the likeliest finer ones.
"""

from collections.abc import Sequence
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
from ...tokenize.finer_sequence import FinerLayout
from ...tokenize.image_codes import Pictures
from ...tokenize.quality import decode_in_batches
from ..run.run import Run
from ..transformer.model import Transformer
from .choosing import Choice, check_choice, scores
from .refining import refine_codes
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

    def refined(self, prompt: int, numbers: NDArray[np.int64], seed: int) -> Pictures:
        """Some pictures of a prompt, by the numbers of their samples, with finer codes: (numbers, side, side, 3).

        Raises BadInput for a run that has learned none.
        """
        config = SamplingConfig(temperature=0, precision=self.run.document.precision)
        texts = [self.texts[prompt]] * len(numbers)
        return refined_pictures(self.run, texts, self.codes_PSN[prompt, numbers], seed, config)

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


def refined_pictures(
    run: Run, texts: Sequence[Sequence[int]], codes_RN: NDArray[np.int64], seed: int, config: SamplingConfig
) -> Pictures:
    """Pictures (R, side, side, 3) of finer codes than `codes_RN`, whose captions are `texts`.

    Raises BadInput as `check_refines` does.
    """
    layout, image_codes = check_refines(run), run.finer_image_codes
    torch.set_num_threads(run.document.threads)
    with progress("refine", len(codes_RN), "picture") as advance:
        finer_RM = refine_codes(run.load_learned(), layout, texts, codes_RN, seed, config, advance)
    return decode_in_batches(image_codes, finer_RM.reshape(-1, *image_codes.identity.shape))


def check_refines(run: Run) -> FinerLayout:
    """The layout of a run's finer codes. Raises BadInput when it has learned none."""
    if run.document.finer is None:
        raise BadInput(
            f"{run.folder.path}: has learned no finer codes",
            cure="train such a run from it: `train: {init: …, refine: {codes: …}}`, as the recipe emoji-refine does",
        )
    return run.document.finer


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
    refine: bool = False,
    **options: Unpack[DrawOptions],
) -> list[float]:
    """Sample `count` pictures, save the `best` side by side as a PNG, finer with `refine`, and return their scores."""
    check_choice(run, choice)
    if refine:
        check_refines(run)
    sampled = sample(run, [prompt], count, seed, **options)
    scores_PS = scores(sampled, choice)
    order = np.argsort(-scores_PS[0], kind="stable")[:best]
    if refine:
        save_grid(file, sampled.refined(0, order, seed), scale=1)
    else:
        save_grid(file, sampled.pictures()[0][order])
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
