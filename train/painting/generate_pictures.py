"""Prompts → pictures, with a run's own caption ids, layout and image tokenizer.

    pictures, scores = sample_pictures(run, ["一只蜜蜂"], count=16, seed=0)      # (1, 16, side, side, 3), (1, 16)

`--best` keeps those with the highest scores. By `likelihood` a score is the mean log-probability of the picture's codes
at temperature 1, in nats per code: the model's own confidence. By `caption-loss` it is that of the caption's pieces
after the picture, in nats per piece: what the model would say of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Unpack, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ...manifests.atomic import whole_file
from ...manifests.errors import BadInput
from ...pipeline.captions.text import normalise
from ...pipeline.executor.progress import progress
from ...tokenize.image_codes import Pictures
from ...tokenize.precision import matmul_dtype
from ...tokenize.quality import decode_in_batches
from ..run.run import Run
from ..transformer.model import Transformer
from .caption_loss import caption_losses
from .sampling import DrawOptions, SamplingConfig, sample_codes

Judge = Literal["likelihood", "caption-loss"]
JUDGES: tuple[Judge, ...] = get_args(Judge)


@dataclass(frozen=True)
class Sampled:
    """P prompts, S pictures of each, N codes of a picture."""

    run: Run
    model: Transformer
    texts: list[list[int]]
    codes_PSN: NDArray[np.int64]
    likelihoods_PS: NDArray[np.float32]

    def scores(self, by: Judge) -> NDArray[np.float32]:
        """Scores (P, S), the highest of the best picture."""
        if by == "likelihood":
            return self.likelihoods_PS
        dtype = matmul_dtype(self.run.document.precision, next(self.model.parameters()).device)
        return -caption_losses(self.model, self.run.layout, self.texts, self.codes_PSN, dtype)

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
    texts = [caption_ids.encode(normalise(prompt, simplify=True)) for prompt in prompts]
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
    return Sampled(run, model, texts, codes, likelihoods)


def sample_pictures(
    run: Run, prompts: list[str], count: int, seed: int, by: Judge = "likelihood", **options: Unpack[DrawOptions]
) -> tuple[Pictures, NDArray[np.float32]]:
    """Pictures (prompts, count, side, side, 3) uint8 and scores (prompts, count).

    Raises BadInput as `sample` does, for a run whose image tokenizer is missing, and for scores by caption-loss of one
    that has learned no captions.
    """
    check_judge(run, by)
    sampled = sample(run, prompts, count, seed, **options)
    return sampled.pictures(), sampled.scores(by)


def check_judge(run: Run, by: Judge) -> None:
    """Raises BadInput when the run cannot choose so."""
    if by == "caption-loss" and not run.document.settings.reverse:
        raise BadInput(
            f"{run.folder.path}: has learned no captions from their pictures, so it cannot choose by caption-loss",
            cure="choose --by likelihood, or train with --set train.reverse=0.1 in another --out",
        )


def sample_prompt(
    run: Run, prompt: str, file: Path, *, count: int, best: int, seed: int, by: Judge, **options: Unpack[DrawOptions]
) -> list[float]:
    """Sample `count` pictures, save the `best` side by side as a PNG, and return their scores."""
    pictures, scores = sample_pictures(run, [prompt], count, seed, by, **options)
    order = np.argsort(-scores[0], kind="stable")[:best]
    save_grid(file, pictures[0][order])
    return [round(float(score), 4) for score in scores[0][order]]


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
