"""Files of pictures → captions, with a run's own crop, image tokenizer and caption ids (`tuwen caption`).

    described = describe(run, [Path("bee.png")], DescribeOptions(count=3))
    described[0][0].text, described[0][0].score         # 蜜蜂, −0.03 nats a piece

A picture is decoded and cropped as the run's shards were: padded where they were padded, else its centre square.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...manifests.errors import BadInput
from ...manifests.manifest import load_manifest
from ...manifests.recipe.tokenizing import Crops
from ...pipeline.executor.progress import progress
from ...pipeline.load_recipe import recorded_recipe
from ...pipeline.pictures.decode import decode
from ...tokenize.crops.boxes import CENTER, CropRule, crop_rule, views_of
from ...tokenize.crops.resample import rendered
from ...tokenize.image_codes import Pictures
from ..run.run import Run
from .caption_search import CaptionFound, draw_captions, search_captions

MAX_PIXELS = 200_000_000


@dataclass(frozen=True)
class DescribeOptions:
    count: int = 1  # captions of a picture
    beams: int = 8  # of the search
    temperature: float = 0.0  # 0 searches the likeliest captions; over 0 draws them
    seed: int = 0  # of what is drawn


@dataclass(frozen=True)
class Description:
    text: str
    score: float  # mean log-probability of a piece, in nats


def describe(run: Run, files: list[Path], options: DescribeOptions) -> list[list[Description]]:
    """At most `count` different captions of each picture, the likeliest a piece first.

    Raises BadInput for a file that is no picture, before any is described, and for a run that has learned no captions.
    """
    check_describes(run)
    torch.set_num_threads(run.document.threads)
    identity, rule = run.image_codes.identity, _crop_rule(run)
    pictures = np.stack([_square(file, rule, identity.side_px, identity.resize) for file in files])
    return describe_pictures(run, pictures, options)


def describe_pictures(run: Run, pictures: Pictures, options: DescribeOptions) -> list[list[Description]]:
    """As `describe`, of pictures that are cropped already: uint8 (n, side, side, 3)."""
    image_codes, caption_ids, model = run.image_codes, run.caption_ids, run.load_model()
    descriptions: list[list[Description]] = []
    with progress("describe", len(pictures), "picture") as advance:
        for picture in pictures:
            codes_N = image_codes.encode(picture[None]).reshape(-1)
            if options.temperature:
                found = draw_captions(
                    model, run.layout, codes_N, options.count, options.seed, options.temperature, run.document.precision
                )
            else:
                beams = max(options.beams, options.count)
                found = search_captions(model, run.layout, codes_N, beams, run.document.precision)
            texts: dict[str, CaptionFound] = {}  # several ways to cut a caption into pieces say the same
            for caption in sorted(found, key=lambda each: -each.score):
                texts.setdefault(caption_ids.decode(caption.pieces), caption)
            best = list(texts.items())[: options.count]
            descriptions.append([Description(text, caption.score) for text, caption in best])
            advance(1)
    return descriptions


def check_describes(run: Run) -> None:
    """Raises BadInput when the run has learned no captions from their pictures."""
    if not run.document.settings.reverse:
        raise BadInput(
            f"{run.folder.path}: has learned no captions from their pictures, so it cannot say them",
            cure="train with --set train.reverse=0.1 in another --out",
        )


def _crop_rule(run: Run) -> CropRule:
    """The one square of a picture that is like those of the shards."""
    if not run.folder.manifest.is_file():  # it is still trained
        return CENTER
    crops: Crops = recorded_recipe(load_manifest(run.folder.path).document["lineage"]["recipe"]).tokenize.crops
    kind = "pad" if crops.kind == "pad" else "center"
    return crop_rule(crops.model_copy(update={"kind": kind, "count": 1, "mirror": False}))


def _square(file: Path, rule: CropRule, side_px: int, resize: str) -> Pictures:
    try:
        decoded = decode(file.read_bytes(), MAX_PIXELS)
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}", cure="name files of pictures") from None
    if decoded.picture is None:
        raise BadInput(f"{file}: {decoded.problem}", cure="name a whole JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF")
    (view,) = views_of(decoded.picture.size, "", rule)
    return rendered(decoded.picture, view, side_px, resize, rule["fill"])
