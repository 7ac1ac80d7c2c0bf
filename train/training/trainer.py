"""A model in training: one step is a global batch, the gradients of its micro-batches, their sum and an update.

    trainer = Trainer.new(document, shards, verify="block", ranks=Ranks())
    entry = trainer.train_step(0)               # StepEntry: the losses, the learning rate, the norm of the gradient
    save_checkpoint(path, trainer.checkpoint(steps_done=1))

A step draws nothing at random, so equal weights and an equal step give equal bits, on every rank of any number of them.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ...manifests.errors import CheckFailed
from ...manifests.manifest import Manifest
from ...manifests.recipe.training import Sharded
from ...manifests.shards.split_reader import Verify
from ...tokenize.devices import keep_freed_memory
from ...tokenize.precision import matmul_dtype
from ..ranks.ranks import Ranks
from ..ranks.reduction import in_pairs
from ..reading.coin import numbers
from ..reading.read_plan import ReadPlan
from ..reading.stream import Stream, open_stream
from ..run.checkpoint import Checkpoint, Tensors
from ..run.loss_log import StepEntry, write_largest
from ..run.run import RunDocument
from ..run.schedule import learning_rate, skips
from ..transformer.code_noise import CodeNoise
from ..transformer.largest import Largest
from ..transformer.matrix_peak import matrix_products, seconds_alone
from ..transformer.micro_batch import MicroBatch, summed_nats
from ..transformer.model import Transformer
from ..transformer.target_weights import TargetWeights
from .captions_seen import captions_seen
from .fully_sharded import FullySharded
from .loss_scale import LossScale
from .replica import Replica


def train_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    keep_freed_memory()  # a step takes 5 to 10% less
    return torch.device("cpu")


@dataclass(frozen=True)
class Trainer:
    document: RunDocument
    learner: Replica | FullySharded  # holds the model, its average and the optimizers
    weights: TargetWeights
    scale: LossScale
    stream: Stream
    ranks: Ranks

    @classmethod
    def new(
        cls, document: RunDocument, shards: Manifest, verify: Verify, ranks: Ranks, sharded: Sharded = "none"
    ) -> Self:
        """A trainer before its first step; `verify` says how shards are checked and changes no result."""
        settings, device = document.settings, train_device()
        plan = ReadPlan(
            seed=settings.seed, batch=settings.batch, shuffle=settings.shuffle, verify=verify, rank=ranks.rank,
            world_size=ranks.world_size, micro_batches=settings.micro_batches // ranks.world_size,
        )  # fmt: skip
        stream = open_stream(shards, plan, document.finer.array if document.finer else None)
        learner: Replica | FullySharded
        if sharded == "model" and ranks.world_size > 1:
            learner = FullySharded(document, ranks, device)
        else:
            learner = Replica(document, ranks, device, shares_optimizer=sharded == "optimizer")
        weights = TargetWeights.of(
            settings.text_weight, settings.first_code_weight, settings.reverse_weight, document.learned
        )
        return cls(document, learner, weights, LossScale.of(document.precision), stream, ranks)

    @property
    def model(self) -> Transformer:
        return self.learner.model

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def seconds_a_token(self) -> float:
        """How long the matrix products of one token of a step take alone, when all ranks are as fast as this one."""
        settings, dtype = self.document.settings, matmul_dtype(self.document.precision, self.device)
        rows, tokens = settings.batch // settings.micro_batches, self.document.learned.length - 1
        alone = seconds_alone(matrix_products(self.model, rows, tokens), dtype, self.device)
        return alone / (rows * tokens * self.ranks.world_size)

    @property
    def judged(self) -> Transformer:
        """The model that paints: the average where there is one."""
        return self.learner.averaged or self.model

    def checkpoint(self, steps_done: int) -> Checkpoint:
        """All ranks take part; only the first one's is whole, where they share something."""
        learner = self.learner
        averaged = learner.weights(learner.averaged) if learner.averaged else {}
        model, optimizers = learner.weights(learner.model), learner.optimizer_states()
        return Checkpoint(steps_done, model, averaged, optimizers, self.scale.state(), self.stream.state())

    def begin_from(self, weights: Tensors) -> None:
        """Take the weights of the run that this one fine-tunes."""
        for model in (self.learner.model, self.learner.averaged):
            if model is not None:
                self.learner.load_weights(model, weights)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Raises CheckFailed when the checkpoint is of another stream."""
        learner = self.learner
        learner.load_weights(learner.model, checkpoint.model)
        if learner.averaged is not None:
            learner.load_weights(learner.averaged, checkpoint.averaged)
        learner.load_optimizers(checkpoint.optimizers)
        self.scale.resume(checkpoint.scale)
        self.stream.resume(checkpoint.stream)

    def train_step(self, step: int) -> StepEntry:
        """Do one update and return its line of the log. Raises CheckFailed when the loss is not finite."""
        document, is_skipped = self.document, skips(self.document.optimizer, step)
        largest = Largest(document.settings.model.depth, self.device) if document.settings.telemetry else None
        batches = [self._next_batch(step, number) for number in range(self.stream.plan.micro_batches)]
        counts = self.ranks.total(np.sum([batch.counts_22 for batch in batches], axis=0).flatten().tolist())
        of_own = [self._add(batch, counts, largest, with_gradient=not is_skipped) for batch in batches]
        nats = in_pairs(self.ranks.collected(torch.stack(of_own))).tolist()
        text, codes, caption, _ = (each / max(1, count) for each, count in zip(nats, counts, strict=True))
        entry: StepEntry = {
            "step": step,
            "loss": sum(nats) / sum(counts),
            "text": text,
            "codes": codes,
            "lr": learning_rate(document.optimizer, step),
            "norm": 0.0 if is_skipped else self._update(step),
            "tokens": sum(counts),
            "samples": self.stream.state()["samples"],
        }
        if counts[2]:
            entry["reverse"] = caption
        if largest is not None:
            seen = self.ranks.largest(largest.numbers())
            write_largest(entry, seen, with_layers=document.settings.telemetry == "layers")
        if not self.scale.is_fixed:
            entry["scale"], entry["overflows"] = self.scale.value, self.scale.overflows
        if not math.isfinite(entry["loss"]) and (self.scale.is_fixed or self.scale.is_exhausted):
            cure = "lower `train.lr`, and begin in another --out"
            raise CheckFailed(f"step {step}: the loss is {entry['loss']}", cure=cure)
        return entry

    def _next_batch(self, step: int, number: int) -> MicroBatch:
        settings, layout, finer = self.document.settings, self.document.layout, self.document.finer
        positions = self.stream.plan.positions(step, number)
        noise = CodeNoise(settings.code_noise, settings.seed, positions) if settings.code_noise else None
        rows, is_reversed = captions_seen(self.stream.next(), positions, settings, layout)
        if finer is not None:
            origins = finer.origins_of(numbers("window", settings.seed, positions, 2))
            return MicroBatch.of_windows(rows, origins, finer, self.device, noise)
        return MicroBatch.of(rows, layout, self.device, noise, is_reversed)

    def _add(self, batch: MicroBatch, counts: list[int], largest: Largest | None, with_gradient: bool) -> Tensor:
        """Add the gradient of a micro-batch's share of the loss; return its nats, of what `counts` counts.

        The loss is the weighted mean over the targets of the global batch: `counts` has text, codes, and both of the
        reversed rows.
        """
        dtype = matmul_dtype(self.document.precision, self.device)
        with torch.set_grad_enabled(with_gradient):
            nats_BL = batch.nats_BL(self.model, dtype, largest)
        if with_gradient:
            weighted_nats = (nats_BL * self.weights.of_batch(batch)).sum()
            torch.autograd.backward(weighted_nats * (self.scale.value / self.weights.total(counts)))
            self.learner.add_gradient()
        return batch.by_direction(summed_nats(nats_BL.detach(), batch.targets_BL, batch.layout)).flatten()

    def _update(self, step: int) -> float:
        """Learn from the summed gradients, unless they have overflowed; return their norm before clipping."""
        norm = self.learner.gradient_norm(1 / self.scale.value)
        self.scale.update(math.isfinite(norm))
        if self.scale.is_fixed or math.isfinite(norm):
            self.learner.learn(step, norm)
        return norm
