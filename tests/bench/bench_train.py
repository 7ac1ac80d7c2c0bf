"""Tokens a second and the share of matrix products: a training step of ours beside nanoGPT's model and loop.

    python tests/bench/bench_train.py --nanogpt ~/nanoGPT --preset demo --precision float32 --threads 2

nanoGPT's model.py is loaded from a checkout of https://github.com/karpathy/nanoGPT. It gets the same width, depth,
heads, vocabulary, batch, precision and number of threads, and blocks as long as our sequences; its loop is that of its
train.py: memory-mapped ids, a random batch, cross-entropy, clipping, fused AdamW. Rounds are interleaved. All its
tokens count, and of ours only those that are no padding. Utilisation is the time that the matrix products of our step
take alone, by the time of a step.
"""

import argparse
import importlib.util
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.manifests.synthetic import make_shards
from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.tokenize.precision import matmul_dtype
from tuwen.train.ranks.ranks import ALONE
from tuwen.train.run.run import RunDocument
from tuwen.train.training.declared_run import DeclaredRun
from tuwen.train.training.trainer import Trainer, train_device
from tuwen.train.transformer.matrix_peak import flops, matrix_products, seconds_alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT; without it only ours is timed")
    parser.add_argument("--shards", type=Path, help="default: random rows of the emoji shards' shape")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--optimizer", default="adamw", choices=("adamw", "muon"), help="ours; nanoGPT's is AdamW")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=4, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        shards = options.shards
        if shards is None:
            make_shards(Path(folder), {"train": 4096}, block_rows=512)
            shards = Path(folder)
        report(options, load_manifest(shards, "shards"))


def report(options: argparse.Namespace, shards: Manifest) -> None:
    trainer = new_trainer(options, shards)
    document, waits, tokens = trainer.document, [], []
    dtype = matmul_dtype(document.precision, train_device())
    rows, length = document.settings.batch // document.settings.micro_batches, document.layout.length - 1
    products = matrix_products(trainer.model, rows, length)
    step = iter(range(10**6))
    stream_next = trainer.stream.next

    def timed_next() -> Any:
        began = time.perf_counter()
        batch = stream_next()
        waits.append(time.perf_counter() - began)
        return batch

    trainer.stream.next = timed_next  # type: ignore[method-assign]
    contenders: dict[str, Callable[[], None]] = {
        "tuwen": lambda: tokens.append(trainer.train_step(next(step))["tokens"])
    }
    if options.nanogpt:
        contenders["nanoGPT"] = nanogpt_step(options.nanogpt, document, length, dtype)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    alone = []
    for do in contenders.values():
        do()
    tokens.clear(), waits.clear()
    for _ in range(options.rounds):
        alone.append(seconds_alone(products, dtype, train_device()))
        for name, do in contenders.items():
            began = time.perf_counter()
            for _ in range(options.steps):
                do()
            seconds[name].append((time.perf_counter() - began) / options.steps)
    bare = statistics.median(alone) * document.settings.micro_batches
    peak = flops(products) / statistics.median(alone)
    each = {"tuwen": statistics.mean(tokens), "nanoGPT": document.settings.batch * length}
    print(
        f"{options.preset}, {str(dtype).removeprefix('torch.')}, {options.threads} threads; {document.settings.batch} "
        f"rows of {length} tokens, {document.settings.micro_batches} micro-batches; "
        f"matrix peak {peak / 1e9:,.0f} GFLOP/s\n"
    )
    print("| | ms a step, median (range) | tokens/s | utilisation |\n|---|---|---|---|")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(
            f"| {name} | {1000 * median:,.0f} ({1000 * min(times):,.0f} to {1000 * max(times):,.0f}) "
            f"| {each[name] / median:,.0f} | {bare / median:.0%} |"
        )
    ours = statistics.median(seconds["tuwen"])
    if options.nanogpt:
        ratios = [b / a for a, b in zip(seconds["tuwen"], seconds["nanoGPT"], strict=True)]
        print(f"\nnanoGPT's step / ours: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    wait = sum(waits) / len(waits) * trainer.stream.plan.micro_batches
    print(f"wait for data: {wait / ours:.2%} of a step")
    print(f"peak memory {psutil.Process().memory_info().rss / 1e6:,.0f} MB, both; load {os.getloadavg()[0]:.1f}")


def new_trainer(options: argparse.Namespace, shards: Manifest) -> Trainer:
    sets = [
        f"train.preset={options.preset}",
        "train.steps=1000000",
        "train.model.activation=gelu",
        f"train.precision={options.precision}",
    ]
    sets += [f"train.optimizer={options.optimizer}", "train.sketch_every=0"]
    declared = DeclaredRun.of_recipe(load_recipe("emoji", sets), shards)
    return Trainer.new(declared.document(1_000_000, options.threads), shards, "block", ALONE)


def nanogpt_step(checkout: Path, document: RunDocument, length: int, dtype: torch.dtype) -> Callable[[], None]:
    spec = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["nanogpt_model"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shape, batch, device = document.settings.model, document.settings.batch, train_device()
    with redirect_stdout(io.StringIO()):
        config = module.GPTConfig(
            block_size=length, vocab_size=shape.vocab_size, n_layer=shape.depth, n_head=shape.heads,
            n_embd=shape.width, dropout=0.0, bias=False,
        )  # fmt: skip
        model = module.GPT(config).to(device).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), fused=True)
    ids = tempfile.NamedTemporaryFile(suffix=".bin")  # noqa: SIM115
    np.random.default_rng(0).integers(0, shape.vocab_size, 10**6).astype(np.uint16).tofile(ids.name)
    context = nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)

    def step(_: Any = ids) -> None:
        data = np.memmap(ids.name, dtype=np.uint16, mode="r")
        starts = torch.randint(len(data) - length - 1, (batch,)).tolist()
        x, y = (
            torch.stack([torch.from_numpy(data[i + shift : i + shift + length].astype(np.int64)) for i in starts])
            for shift in (0, 1)
        )
        with context:
            _, loss = model(x.to(device), y.to(device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return step


if __name__ == "__main__":
    main()
