"""The cost of the exact sum: milliseconds a step, exact beside fast, for 1, 2 and 4 ranks of one machine.

    python tests/bench/bench_ranks.py --ranks 1 2 4 --preset demo

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
from tuwen.tokenize.sequence import compact_layout
from tuwen.train.model import ModelConfig
from tuwen.train.optimizer import OptimizerConfig
from tuwen.train.preset import PRESETS, TrainSettings
from tuwen.train.ranks import joined
from tuwen.train.run import RunDocument
from tuwen.train.trainer import Trainer

KINDS = ("exact", "fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--preset", choices=PRESETS, default="demo")
    parser.add_argument("--micro-batches", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    print(f"{options.preset}, {options.micro_batches} micro-batches, one thread a rank, {os.cpu_count()} CPUs")
    print(
        "| ranks | exact ms | fast ms | exact / fast | sum alone ms, exact / fast | load |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        make_shards(Path(folder), {"train": 2048}, block_rows=256)
        for count in options.ranks:
            times = _timed(count, Path(folder), options)
            exact, fast = (1000 * statistics.median(times[kind]) for kind in KINDS)
            sums = " / ".join(f"{1000 * statistics.median(times[f'sum {kind}']):.0f}" for kind in KINDS)
            print(f"| {count} | {exact:.0f} | {fast:.0f} | {exact / fast:.3f} | {sums} | {os.getloadavg()[0]:.1f} |")


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
    times: dict[str, list[float]] = {name: [] for kind in KINDS for name in (kind, f"sum {kind}")}
    with joined(url) as ranks:
        trainers = {kind: Trainer.new(_document(kind, options, manifest.id), manifest, "off", ranks) for kind in KINDS}
        for number in range(options.rounds + 2):
            for kind, trainer in trainers.items():
                began = time.perf_counter()
                trainer.train_step(number)
                ended = time.perf_counter()
                gradients = [parameter.detach() for parameter in trainer.model.parameters()]
                for _ in range(trainer.stream.plan.micro_batches):
                    trainer.tree.add(gradients, torch.zeros(2))
                ranks.total([0])  # all begin together
                summing = time.perf_counter()
                trainer.tree.total(ranks, trainer.document.settings.reduction)
                if number >= 2:
                    times[kind].append(ended - began)
                    times[f"sum {kind}"].append(time.perf_counter() - summing)
        if ranks.is_first:
            results.put(times)


def _document(kind: Any, options: argparse.Namespace, shards: str) -> RunDocument:
    preset, layout = PRESETS[options.preset], compact_layout(1024, 64, 900, 16)
    model = ModelConfig(
        vocab_size=layout.vocab, num_positions=layout.length,
        width=preset.width, depth=preset.depth, heads=preset.heads,
    )  # fmt: skip
    settings = TrainSettings(
        model=model, batch=preset.batch, micro_batches=options.micro_batches, reduction=kind, lr=1e-3, seed=0,
        shuffle=Shuffle(), validate_every=0, validation_rows=1, telemetry=False,
    )  # fmt: skip
    return RunDocument(
        shards=shards, image_tokenizer="", text_tokenizer="", layout=layout, settings=settings,
        optimizer=OptimizerConfig(num_steps=1000), precision="bfloat16", threads=1,
    )  # fmt: skip


if __name__ == "__main__":
    main()
