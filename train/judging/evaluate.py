"""`tuwen evaluate`: how good a run is, on held-out pairs and beside what it was trained on, as evaluation.json.

    evaluation = evaluate(run, shards, corpus, EvaluateOptions(captions=200))

* `losses`: nats of all held-out rows, a token and a code, by source, and −log p(caption | picture) a piece.
* `matches`: own-in-5 and strict-in-5 (painting/nearest.py) of the likeliest codes, with Wilson's intervals.
* `copies`: how many of these pictures are copies of training pictures, beside real held-out pictures; the nearest ones
  by name, with the steps at which they were read.
* `refined`: of a run that learns finer codes, and instead of all but the losses: what they add to held-out pictures,
  beside enlargement (judging/refined.py).
* `described`: how many held-out pictures are given their very caption by beam search, of a run that learns captions.
* `distances`: FID-k and IS of one sample at temperature 1 for each held-out caption, beside the pictures that the codes
  of the held-out pairs give, which no model can pass. Needs a network of the user's.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
import torch

from ...manifests.atomic import whole_file
from ...manifests.canonical import canonical_json, exact
from ...manifests.errors import BadInput
from ...manifests.manifest import Manifest
from ...manifests.shards.split_reader import SplitReader
from ...pipeline.executor.progress import progress
from ...pipeline.open_source import roots_of
from ...tokenize.crops.original_crops import original_crops
from ...tokenize.quality import decode_in_batches
from ..describing.caption_search import search_captions
from ..painting.generate_pictures import sample, sample_pictures, save_grid
from ..painting.nearest import NEAREST, NearestTest
from ..ranks.ranks import ALONE
from ..run.run import Run
from ..training.trainer import train_device
from ..training.validation import SPLIT, Validation, ValidationEntry
from .copies import CLOSEST, Copies, Painted, find_copies
from .distances import RADII, blurred, frechet_distance, inception_score
from .feature_network import Network, open_network
from .interval import ShareWithInterval, said, said_mean, share_of
from .refined import SHOWN, Refined, judge_refined

_HELD_OUT_ROWS, _MOST_PICTURES, _BEAMS = 8192, 5000, 8


@dataclass(frozen=True)
class EvaluateOptions:
    captions: int = 200  # of each split, that are painted
    seed: int = 0
    features: Path | None = None  # the network for FID and IS


class Match(TypedDict):
    split: str
    own_in_5: ShareWithInterval
    strict_in_5: ShareWithInterval
    own_in_5_with_skin_tone: ShareWithInterval | None  # None: no caption names one
    own_in_5_without_skin_tone: ShareWithInterval | None


class Distances(TypedDict):
    pictures: int
    network: str  # name of the file
    fid: dict[str, float]  # by the radius of the blur
    fid_of_codes: dict[str, float]  # of the held-out pictures, coded and decoded
    inception_score: NotRequired[tuple[float, float]]  # mean and deviation; of a network that gives logits


class Described(TypedDict):
    exact: ShareWithInterval  # of the held-out pictures: the likeliest caption is theirs
    in_5: ShareWithInterval  # one of the five likeliest is


class Evaluation(TypedDict):
    """evaluation.json, where floats are decimal strings."""

    steps: int
    seed: int
    losses: ValidationEntry
    matches: NotRequired[list[Match]]
    copies: NotRequired[Copies]
    refined: NotRequired[Refined]
    described: NotRequired[Described]
    distances: NotRequired[Distances]


def evaluate(run: Run, shards: Manifest, corpus: Manifest, options: EvaluateOptions) -> Evaluation:
    """Write evaluation.json and the pictures of the closest ones into the run, and return what was found.

    Raises BadInput when nothing is held out, for shards that the run has not read, and for a network that is none.
    """
    _check(run, shards)
    torch.set_num_threads(run.document.threads)
    network = open_network(options.features) if options.features else None
    steps = run.totals["steps"]
    evaluation = Evaluation(steps=steps, seed=options.seed, losses=_losses(run, shards, steps))
    run.judged.evaluation.parent.mkdir(parents=True, exist_ok=True)
    if run.document.finer is not None:
        evaluation["refined"], sheet = judge_refined(run, shards, corpus, options.captions)
        save_grid(run.judged.refined, sheet, columns=min(SHOWN, evaluation["refined"]["pictures"]), scale=1)
    else:
        _judge_paintings(evaluation, run, shards, corpus, network, options)
    with whole_file(run.judged.evaluation) as temporary:
        temporary.write_bytes(canonical_json(exact(evaluation)) + b"\n")
    return evaluation


def _judge_paintings(
    evaluation: Evaluation,
    run: Run,
    shards: Manifest,
    corpus: Manifest,
    network: Network | None,
    options: EvaluateOptions,
) -> None:
    painted = [_painted(run, corpus, split, options) for split in ("train", "validation")]
    evaluation["matches"] = [_match(each) for each in painted]
    evaluation["copies"], closest = find_copies(run, shards, painted, run.totals["samples"])
    save_grid(run.judged.closest, closest, columns=CLOSEST, scale=1)
    if run.document.settings.reverse:
        evaluation["described"] = _described(run, shards, options.captions)
    if network is not None:
        evaluation["distances"] = _distances(run, shards, corpus, network, options)


def _check(run: Run, shards: Manifest) -> None:
    if shards.id != run.document.shards:
        raise BadInput(
            f"{run.folder.path}: has read the shards {run.document.shards}, and {shards.folder} has {shards.id}",
            cure="name the folder of the run that has its own shards with --from",
        )
    if not shards.splits[SPLIT].samples:
        raise BadInput(
            f"{shards.folder}: holds no pair out, so nothing can be judged",
            cure="build the corpus with split.validation",
        )


def _losses(run: Run, shards: Manifest, steps: int) -> ValidationEntry:
    settings = run.document.settings.model_copy(update={"validate_every": 1, "validation_rows": _HELD_OUT_ROWS})
    device = train_device()
    validation = Validation.of(run.document.model_copy(update={"settings": settings}), shards, ALONE, device)
    assert validation is not None
    return validation.losses(run.load_learned().to(device), steps)


def _painted(run: Run, corpus: Manifest, split: str, options: EvaluateOptions) -> Painted:
    share = float(corpus.document["lineage"]["recipe"]["split"]["validation"])
    test = NearestTest.of(corpus, share, split, options.captions, options.seed)
    sampled = sample(run, test.captions, 1, options.seed, temperature=0)
    return Painted(split, test, sampled.codes_PSN[:, 0], sampled.chosen(np.zeros(len(test.captions), np.int64)))


def _match(painted: Painted) -> Match:
    test = painted.test
    own, strict = (ranks < NEAREST for ranks in test.ranks(painted.pictures))
    toned = test.with_skin_tone
    return Match(
        split=painted.split,
        own_in_5=share_of(own),
        strict_in_5=share_of(strict),
        own_in_5_with_skin_tone=share_of(own[toned]) if toned.any() else None,
        own_in_5_without_skin_tone=share_of(own[~toned]) if not toned.all() else None,
    )


def _described(run: Run, shards: Manifest, count: int) -> Described:
    reader, model = SplitReader(shards, SPLIT), run.load_model()
    rows = np.linspace(0, len(reader) - 1, min(len(reader), count)).astype(np.int64)
    places = []
    with progress("describe", len(rows), "picture") as advance:
        for codes, text, length in zip(*reader.rows(rows), strict=True):
            picture = codes.reshape(-1).astype(np.int64)
            found = search_captions(model, run.layout, picture, _BEAMS, run.document.precision)
            own = text[: min(length, run.layout.text_max)].tolist()
            places.append(next((place for place, each in enumerate(found) if each.pieces == own), _BEAMS))
            advance(1)
    return Described(exact=share_of(np.array(places) == 0), in_5=share_of(np.array(places) < 5))


def _distances(run: Run, shards: Manifest, corpus: Manifest, network: Network, options: EvaluateOptions) -> Distances:
    reader, image_codes = SplitReader(shards, SPLIT), run.image_codes
    metas = reader.metas(np.linspace(0, len(reader) - 1, min(len(reader), _MOST_PICTURES)).astype(np.int64))
    fill = corpus.document["lineage"]["recipe"]["tokenize"]["crops"]["fill"]
    real = original_crops(corpus, roots_of(corpus), metas, image_codes.identity, fill)
    coded = decode_in_batches(image_codes, image_codes.encode(real))
    painted, _ = sample_pictures(run, [meta["caption"] for meta in metas], 1, options.seed)
    fid, of_codes = {}, {}
    for radius in RADII:
        of_real, of_coded, of_painted = (network(blurred(each, radius))[0] for each in (real, coded, painted[:, 0]))
        fid[str(radius)] = round(frechet_distance(of_real, of_painted), 4)
        of_codes[str(radius)] = round(frechet_distance(of_real, of_coded), 4)
    assert options.features is not None
    distances = Distances(pictures=len(real), network=options.features.name, fid=fid, fid_of_codes=of_codes)
    logits = network(painted[:, 0])[1]
    if logits is not None:
        mean, deviation = inception_score(logits)
        distances["inception_score"] = (round(mean, 4), round(deviation, 4))
    return distances


def lines_of(evaluation: Evaluation) -> list[str]:
    """For the reader of a terminal."""
    losses = evaluation["losses"]
    by_source = ", ".join(f"{source} {nats:.3f}" for source, nats in losses["sources"].items())
    lines = [f"held out: {losses['codes']:.3f} nats a code ({by_source}), {losses['loss']:.3f} a token"]
    if "reverse" in losses:
        lines[0] += f", {losses['reverse']:.3f} a piece of captions after their pictures"
    if "refined" in evaluation:
        of_refined = evaluation["refined"]
        for name in ("bicubic", "refined", "own_codes", "gain"):
            likeness = of_refined[name]
            lines.append(f"{name}: PSNR {said_mean(likeness['psnr_db'], 2)} dB, SSIM {said_mean(likeness['ssim'], 3)}")
    for match in evaluation.get("matches", []):
        own, strict = match["own_in_5"], match["strict_in_5"]
        lines.append(f"{match['split']}: own in 5 {said(own)}, strict in 5 {said(strict)} of {own['count']:,} captions")
    if "copies" in evaluation:
        copies = evaluation["copies"]
        painted = ", ".join(f"{said(share)} of {split} captions" for split, share in copies["painted"].items())
        lines.append(f"copies: {painted}; {said(copies['held_out'])} of real held-out pictures")
    if "described" in evaluation:
        described = evaluation["described"]
        lines.append(f"held-out captions: {said(described['exact'])} said exactly, {said(described['in_5'])} in 5")
    if "distances" in evaluation:
        fid = ", ".join(f"FID-{radius} {value:.2f}" for radius, value in evaluation["distances"]["fid"].items())
        lines.append(f"{fid} of {evaluation['distances']['pictures']:,} pictures")
    return lines
