"""What each choice of the model is worth: nats per code after equal compute, and the milliseconds of a step.

    python tests/bench/bench_model.py --shards runs/emoji/shards --seconds 60 --seeds 3
    python tests/bench/bench_model.py --shards … --variants base qk_norm rotary2d+qk_norm base+lr=4e-3 --samples 12000

A variant is a name of `VARIANTS`, a key of `train` with its value, or several of them joined by `+`. One thread trains
each from its first step to the end of its schedule, with a number of steps that takes `--seconds` of CPU time, or with
equal `--samples`. The time of a step is the median over steps that the variants do in turn, so that what else the
machine does hits all of them alike. Train is the mean of the last twentieth of the steps, with noise where a variant
has it; validation is the held-out loss of the last weights. Copy shards first that may be written anew meanwhile.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[2]))

from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.recipe.training import Train
from tuwen.tokenize.sequence import layout_for
from tuwen.train.ranks.ranks import ALONE
from tuwen.train.run.run import RunDocument
from tuwen.train.training.declared_run import DeclaredRun
from tuwen.train.training.trainer import Trainer
from tuwen.train.training.validation import Validation

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "pre": {"model.norms": "pre"},
    "rms": {"model.norm_kind": "rms"},
    "relu2": {"model.activation": "relu2"},
    "gelu": {"model.activation": "gelu"},
    "rotary2d": {"model.positions": "rotary2d"},
    "qk_norm": {"model.qk_norm": True},
    "tie_ids": {"model.tie_ids": True},
    "logit_cap": {"model.logit_cap": 15.0},
    "code_noise": {"code_noise": 0.1},
    "relaxed_attention": {"model.relaxed_attention": True},
    "relaxed_norms": {"model.relaxed_norms": True},
    "embedding_gradient": {"model.embedding_gradient": 0.1},
    "muon": {"optimizer": "muon"},
}
WARM_UP_ROUNDS, ROUNDS = 2, 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=1)
    compute = parser.add_mutually_exclusive_group()
    compute.add_argument("--seconds", type=float, default=60.0, help="CPU time of a variant and seed")
    compute.add_argument("--samples", type=int, help="of each variant, whatever they cost")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--max-tokens", type=int, default=24, help="of a caption")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    torch.set_num_threads(1)
    shards = load_manifest(options.shards, "shards")
    recipes = {name: recipe_of(name, options) for name in options.variants}
    documents = [document_of(recipe, 100, shards, options) for recipe in recipes.values()]
    milliseconds = step_times(documents, shards)
    print(dict(zip(recipes, (round(each, 1) for each in milliseconds), strict=True)), "ms a step", file=sys.stderr)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in recipes}
    steps: dict[str, int] = {}
    for seed in range(options.seeds):
        for (name, recipe), each in zip(recipes.items(), milliseconds, strict=True):
            steps[name] = round(options.samples / recipe.batch if options.samples else 1000 * options.seconds / each)
            document = document_of(recipe.model_copy(update={"seed": seed}), steps[name], shards, options)
            found[name].append(trained(document, shards))
            own, held_out = found[name][-1]
            about = f"{name}, seed {seed}, {steps[name]} steps"
            print(f"{about}: train {own:.3f}, validation {held_out:.3f}", file=sys.stderr, flush=True)
    shape, precision = f"{options.depth} × {options.width} × {options.heads}", documents[0].precision
    print(f"{shape}, batch {options.batch}, lr {options.lr:g}, {precision}, {options.seeds} seed(s), one thread\n")
    print("| variant | ms a step | steps | samples | train, nats per code | validation |\n|---|---|---|---|---|---|")
    for (name, recipe), each in zip(recipes.items(), milliseconds, strict=True):
        train, validation = (spread(numbers) for numbers in zip(*found[name], strict=True))
        samples = steps[name] * (recipe.batch or 0)
        print(f"| {name} | {each:.0f} | {steps[name]:,} | {samples:,} | {train} | {validation} |")


def recipe_of(variant: str, options: argparse.Namespace) -> Train:
    document: dict[str, Any] = {
        "model": {"width": options.width, "depth": options.depth, "heads": options.heads}, "batch": options.batch,
        "micro_batches": 1, "lr": options.lr, "precision": options.precision,
    }  # fmt: skip
    for part in variant.split("+"):
        key, _, value = part.partition("=")
        for path, chosen in ({key: yaml.safe_load(value)} if value else VARIANTS[part]).items():
            section, _, name = path.rpartition(".")
            (document[section] if section else document)[name] = chosen
    return Train.model_validate(document)


def document_of(recipe: Train, num_steps: int, shards: Manifest, options: argparse.Namespace) -> RunDocument:
    layout = layout_for("compact", shards.sample_schema, options.max_tokens)
    return DeclaredRun(shards, recipe, {}, layout).document(num_steps, threads=1)


def step_times(documents: list[RunDocument], shards: Manifest) -> list[float]:
    """Median milliseconds of CPU time of a step of each, done in turn."""
    trainers = [Trainer.new(document, shards, "off", ALONE) for document in documents]
    times: list[list[float]] = [[] for _ in trainers]
    for step in range(WARM_UP_ROUNDS + ROUNDS):
        for trainer, own in zip(trainers, times, strict=True):
            began = time.thread_time()  # not of the thread that fetches ahead
            trainer.train_step(step)
            own.append(1000 * (time.thread_time() - began))
    for trainer in trainers:
        trainer.stream.close()
    return [statistics.median(own[WARM_UP_ROUNDS:]) for own in times]


def trained(document: RunDocument, shards: Manifest) -> tuple[float, float]:
    """Nats per code at the end of a training, on its own rows and on held-out ones (NaN where there are none)."""
    trainer, num_steps = Trainer.new(document, shards, "off", ALONE), document.optimizer.num_steps
    validation = Validation.of(document, shards, ALONE, trainer.device)
    with trainer.stream:
        losses = [trainer.train_step(step)["codes"] for step in range(num_steps)]
    held_out = validation.losses(trainer.judged, num_steps)["codes"] if validation else float("nan")
    return statistics.fmean(losses[-max(1, num_steps // 20) :]), held_out


def spread(numbers: tuple[float, ...]) -> str:
    """The mean, and the standard deviation of one seed where there are several."""
    mean = f"{statistics.fmean(numbers):.3f}"
    return f"{mean} ± {statistics.stdev(numbers):.3f}" if len(numbers) > 1 else mean


if __name__ == "__main__":
    main()
