"""The cost of equal bits: milliseconds a step by what ranks sum and share, for 2 and 4 ranks of one machine.

    python tests/bench/bench_ranks.py --ranks 2 4 --preset demo

`exact` and `fast` are `train.reduction`; `optimizer` is exact with the optimizer's state shared out; `model` is FSDP2.
The last columns are the part in which the first three differ: sum, norm, clipping and update.
Ranks are processes on loopback (gloo), with one thread each. Every round times each kind once, in turn, so that what
else the machine does hits all of them alike; the load is printed beside the medians. Shards are random rows.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.manifests.synthetic import make_shards
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.order.shuffle import Shuffle
from tuwen.manifests.recipe.training import Sharded
from tuwen.tokenize.sequence import compact_layout
from tuwen.train.ranks.ranks import joined
from tuwen.train.ranks.reduction import Reduction
from tuwen.train.run.preset import PRESETS, TrainSettings
from tuwen.train.run.run import RunDocument
from tuwen.train.run.schedule import OptimizerConfig
from tuwen.train.training.trainer import Trainer
from tuwen.train.transformer.model import ModelConfig

KINDS: dict[str, tuple[Reduction, Sharded]] = {
    "exact": ("exact", "none"),
    "fast": ("fast", "none"),
    "optimizer": ("exact", "optimizer"),
    "model": ("fast", "model"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--preset", choices=PRESETS, default="demo")
    parser.add_argument("--micro-batches", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    print(f"{options.preset}, {options.micro_batches} micro-batches, one thread a rank, {os.cpu_count()} CPUs")
    columns = ["ranks", *KINDS, *(f"{kind}: sum and update" for kind in KINDS if kind != "model"), "load"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    with tempfile.TemporaryDirectory() as folder:
        make_shards(Path(folder), {"train": 2048}, block_rows=256)
        for count in options.ranks:
            times = _timed(count, Path(folder), options)
            medians = [f"{1000 * statistics.median(seconds):.0f}" for seconds in times.values()]
            print(f"| {' | '.join((str(count), *medians, f'{os.getloadavg()[0]:.1f}'))} |", flush=True)


def _timed(count: int, shards: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}?world_size={count}"
    context = multiprocessing.get_context("spawn")
    results: Any = context.SimpleQueue()
    processes = [
        context.Process(target=_rank, args=(f"{url}&rank={r}", shards, options, results)) for r in range(count)
    ]
    for process in processes:
        process.start()
    times: dict[str, list[float]] = results.get()
    for process in processes:
        process.join()
    return times


def _rank(url: str, shards: Path, options: argparse.Namespace, results: Any) -> None:
    torch.set_num_threads(1)
    manifest = load_manifest(shards, "shards")
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    times |= {f"{kind} alone": [] for kind in KINDS if kind != "model"}
    with joined(url) as ranks:
        trainers = {
            kind: Trainer.new(_document(reduction, options, manifest.id), manifest, "off", ranks, sharded)
            for kind, (reduction, sharded) in KINDS.items()
        }
        for number in range(options.rounds + 2):
            for kind, trainer in trainers.items():
                ranks.total([0])  # all begin together
                began = time.perf_counter()
                trainer.train_step(number)
                ended = time.perf_counter()
                alone = _sum_and_update(trainer, number) if kind != "model" else 0.0
                if number >= 2:
                    times[kind].append(ended - began)
                    times.get(f"{kind} alone", []).append(alone)
        if ranks.is_first:
            results.put(times)


def _sum_and_update(trainer: Trainer, step: int) -> float:
    """Seconds, for gradients that are there."""
    learner = trainer.learner
    for _ in range(trainer.stream.plan.micro_batches):
        for parameter in learner.model.parameters():
            parameter.grad = torch.full_like(parameter, 1e-3)
        learner.add_gradient()
    trainer.ranks.total([0])
    began = time.perf_counter()
    learner.learn(step, learner.gradient_norm())
    return time.perf_counter() - began


def _document(reduction: Reduction, options: argparse.Namespace, shards: str) -> RunDocument:
    preset, layout = PRESETS[options.preset], compact_layout(1024, 64, 900, 16)
    model = ModelConfig(
        vocab_size=layout.vocab, num_positions=layout.length,
        width=preset.width, depth=preset.depth, heads=preset.heads,
    )  # fmt: skip
    settings = TrainSettings(
        model=model, batch=preset.batch, micro_batches=options.micro_batches, reduction=reduction, lr=1e-3, seed=0,
        shuffle=Shuffle(), validate_every=0, validation_rows=1, telemetry=False,
    )  # fmt: skip
    return RunDocument(
        shards=shards, image_tokenizer="", text_tokenizer="", layout=layout, settings=settings,
        optimizer=OptimizerConfig(num_steps=1000), precision="bfloat16", threads=1,
    )  # fmt: skip


if __name__ == "__main__":
    main()
