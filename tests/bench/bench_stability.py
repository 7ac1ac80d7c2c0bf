"""CogView's claim at toy scale: what keeps a deep, narrow model learning in float16 at a high learning rate.

    python tests/bench/bench_stability.py --lrs 2e-2 1e-1 3e-1 --seeds 3 --steps 60

Four arms: pre-LN and Sandwich-LN, each without and with PB-relax (attention and norms). All activations are float16,
the residual too, as in CogView's training. (The trainer itself keeps the residual in float32.) Weights and AdamW are
float32, the loss is scaled as the trainer scales it, and a step that overflows is not learned from. Matrix products are
made in float32 of numbers of float16 and rounded to it, as a GPU does; a CPU's own product of float16 takes ten times
as long. Data are synthetic: the codes of a picture are a function of its caption, but for one bit.

A run is lost when steps overflow until the scale of the loss is exhausted; the first of them stands in the table.
"""

import argparse
import math
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

sys.path.insert(0, str(Path(__file__).parents[2]))

from tuwen.tokenize.sequence import compact_layout
from tuwen.train.run.schedule import OptimizerConfig
from tuwen.train.training.loss_scale import LossScale
from tuwen.train.training.optimizer import new_optimizers, take_step
from tuwen.train.transformer.largest import Largest
from tuwen.train.transformer.micro_batch import MicroBatch
from tuwen.train.transformer.model import ModelConfig, Transformer

RELAXED = {"relaxed_attention": True, "relaxed_norms": True}
ARMS: dict[str, dict[str, Any]] = {
    "pre-LN": {"norms": "pre"},
    "pre-LN + PB-relax": {"norms": "pre", **RELAXED},
    "sandwich": {"norms": "sandwich"},
    "sandwich + PB-relax": {"norms": "sandwich", **RELAXED},
}
SIDE, CODEBOOK, WORDS = 5, 64, 16  # codes of a side; captions are three of sixteen words
LAYOUT = compact_layout(CODEBOOK, SIDE * SIDE, WORDS, 3)
LAST_STEPS = 20  # whose mean loss is that of a run


class HalfProducts(TorchFunctionMode):
    """Products with a factor of float16 are of float16: summed in float32, rounded at the end."""

    PRODUCTS = (F.linear, torch.baddbmm, Tensor.matmul, Tensor.__matmul__)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        factors = [each for each in args if isinstance(each, Tensor)]  # a linear map may have no bias
        if function in self.PRODUCTS and any(each.dtype == torch.float16 for each in factors):
            return function(*(each.half().float() for each in factors), **(kwargs or {})).half()
        return function(*args, **(kwargs or {}))


@dataclass
class Outcome:
    losses: list[float] = field(default_factory=list)  # of each step, nats per token
    overflows: int = 0
    lost_at: int | None = None
    residual: float = 0.0  # the largest of all steps that were finite
    score: float = 0.0
    logit: float = 0.0

    @property
    def final(self) -> float:
        finite = [loss for loss in self.losses[-LAST_STEPS:] if math.isfinite(loss)]
        return statistics.fmean(finite) if finite else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--lrs", type=float, nargs="+", default=[2e-2, 1e-1, 3e-1])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--precision", choices=("float16", "float32"), default="float16")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{options.depth} × {options.width} × {options.heads}, batch {options.batch}, {options.steps} steps, "
        f"{options.precision}, {options.seeds} seeds, one thread\n\n"
        "| lr | arm | loss at the end, by seed | lost at step | overflows | residual | score | logit |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for lr in options.lrs:
        for arm in options.arms:
            print(row(lr, arm, [trained(arm, lr, seed, options) for seed in range(options.seeds)]), flush=True)
    print(f"\n{time.process_time():.0f} s of CPU time")


def row(lr: float, arm: str, outcomes: list[Outcome]) -> str:
    finals = ", ".join("lost" if each.lost_at is not None else f"{each.final:.3f}" for each in outcomes)
    lost = ", ".join("–" if each.lost_at is None else str(each.lost_at) for each in outcomes)
    overflows = ", ".join(str(each.overflows) for each in outcomes)
    largest = (max(getattr(each, name) for each in outcomes) for name in ("residual", "score", "logit"))
    return f"| {lr:g} | {arm} | {finals} | {lost} | {overflows} | {' | '.join(f'{each:,.0f}' for each in largest)} |"


def trained(arm: str, lr: float, seed: int, options: argparse.Namespace) -> Outcome:
    config = ModelConfig(
        vocab_size=LAYOUT.vocab, num_positions=LAYOUT.length,
        width=options.width, depth=options.depth, heads=options.heads, **ARMS[arm],
    )  # fmt: skip
    model = Transformer(config, seed)
    if options.precision == "float16":
        for embedding in (model.token, model.position):
            assert embedding is not None
            embedding.register_forward_hook(lambda module, ids, output: output.half())
    plan = OptimizerConfig(num_steps=options.steps, num_warmup_steps=options.steps // 20, peak_learning_rate=lr)
    optimizers, scale, outcome = new_optimizers(model, plan), LossScale.of(options.precision), Outcome()
    learned_last = -1
    for step in range(options.steps):
        batch, largest = random_batch(options.batch, seed, step), Largest(options.depth, torch.device("cpu"))
        with HalfProducts():
            nats = batch.nats_B2(model, torch.float32, largest).sum()
        loss = nats / int(batch.counts_B2.sum())
        (loss * scale.value).backward()
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad /= scale.value
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), plan.max_gradient_norm).item()
        scale.update(math.isfinite(norm))
        if math.isfinite(norm):
            take_step(optimizers, plan, step)
            see(outcome, largest)
            learned_last = step
        model.zero_grad()
        outcome.losses.append(loss.item())
        outcome.overflows = scale.overflows
        if scale.is_exhausted or (scale.is_fixed and not math.isfinite(norm)):
            outcome.lost_at = learned_last + 1
            break
    return outcome


def see(outcome: Outcome, largest: Largest) -> None:
    outcome.residual = max(outcome.residual, largest.residuals.max().item())
    outcome.score = max(outcome.score, largest.scores.max().item())
    outcome.logit = max(outcome.logit, largest.logits.max().item())


def random_batch(rows: int, seed: int, step: int) -> MicroBatch:
    """Captions of three words; a code is a sum of what the words say of its row, its column and its picture."""
    random = np.random.default_rng([seed, step])
    words = random.integers(0, WORDS, (rows, 3))
    place = np.arange(SIDE * SIDE)
    codes = words[:, :1] * (place // SIDE) + words[:, 1:2] * (place % SIDE) + 7 * words[:, 2:] + place
    codes += random.integers(0, 2, codes.shape)  # a bit of each code cannot be known
    return MicroBatch.of((codes % CODEBOOK, words, np.full(rows, 3)), LAYOUT, torch.device("cpu"))


if __name__ == "__main__":
    main()
