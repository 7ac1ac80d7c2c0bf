"""Which of several samples is the best: by its likelihood, by its caption-loss, or by a Chinese CLIP of the user's.

    choice = Choice("clip", clip=Path("models/chinese-clip"))
    check_choice(run, choice)                       # BadInput when the run or the folder cannot
    scores_PS = scores(sampled, choice)             # the highest of the best sample of a prompt

* `likelihood`: the mean log-probability of the picture's codes at temperature 1, in nats a code: the model's own
  confidence.
* `caption-loss`: that of the caption's pieces after the picture, in nats a piece: what the model would say of it.
* `clip`: the cosine of picture and prompt by another model, −1 … 1, as `similarity` of a corpus has it.

Shapes: P prompts, S pictures of each.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...manifests.errors import BadInput
from ...pipeline.scores.chinese_clip import ChineseClip, check_clip
from ...tokenize.precision import matmul_dtype
from ..run.run import Run
from .caption_loss import caption_losses

if TYPE_CHECKING:
    from .generate_pictures import Sampled

Judge = Literal["likelihood", "caption-loss", "clip"]
JUDGES: tuple[Judge, ...] = get_args(Judge)


@dataclass(frozen=True)
class Choice:
    by: Judge = "likelihood"
    clip: Path | None = None  # the folder of the model, for `clip`


def check_choice(run: Run, choice: Choice) -> None:
    """Raises BadInput when the run cannot choose so, or when the model that it would choose by is not there."""
    if choice.by == "caption-loss" and not run.document.settings.reverse:
        raise BadInput(
            f"{run.folder.path}: has learned no captions from their pictures, so it cannot choose by caption-loss",
            cure="choose --by likelihood, or train with --set train.reverse=0.1 in another --out",
        )
    if choice.by == "clip":
        if choice.clip is None:
            raise BadInput("--by clip needs a model", cure="name the folder of a Chinese CLIP with --clip FOLDER")
        check_clip(choice.clip, "--clip")


def scores(sampled: "Sampled", choice: Choice) -> NDArray[np.float32]:
    """Scores (P, S), the highest of the best picture."""
    match choice.by:
        case "likelihood":
            return sampled.likelihoods_PS
        case "caption-loss":
            run, model = sampled.run, sampled.model
            dtype = matmul_dtype(run.document.precision, next(model.parameters()).device)
            return -caption_losses(model, run.layout, sampled.texts, sampled.codes_PSN, dtype)
        case "clip":
            assert choice.clip is not None
            clip = ChineseClip(choice.clip)
            cosines = [
                clip.cosines([clip.pixels(Image.fromarray(each)) for each in of_prompt], list(range(len(of_prompt))),
                             [prompt] * len(of_prompt))
                for prompt, of_prompt in zip(sampled.prompts, sampled.pictures(), strict=True)
            ]  # fmt: skip
            return np.stack(cosines)
