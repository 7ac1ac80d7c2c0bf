"""A model in training: one step is a global batch, the gradients of its micro-batches, their sum and an update.

    trainer = Trainer.new(document, shards, verify="block", ranks=Ranks())
    entry = trainer.train_step(0)               # StepEntry: the losses, the learning rate, the norm of the gradient
    save_checkpoint(path, trainer.checkpoint(steps_done=1))

A step draws nothing at random, so equal weights and an equal step give equal bits, on every rank of any number of them.
"""

import copy
import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ..manifests.errors import CheckFailed
from ..manifests.manifest import Manifest
from ..manifests.shards.split_reader import Verify
from ..tokenize.precision import matmul_dtype
from .captions_seen import captions_seen
from .checkpoint import Checkpoint
from .code_noise import CodeNoise
from .largest import Largest, write_largest
from .loss_log import StepEntry
from .loss_scale import LossScale
from .matrix_peak import matrix_products, seconds_alone
from .micro_batch import MicroBatch
from .model import Transformer
from .optimizer import clip, learning_rate, new_optimizers, skips, take_step
from .ranks import Ranks
from .read_plan import ReadPlan
from .reduction import GradientTree, Summed
from .run import RunDocument
from .stream import Stream, open_stream


def train_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Trainer:
    document: RunDocument
    model: Transformer
    averaged: Transformer | None  # the moving average of the weights
    optimizers: list[torch.optim.Optimizer]
    scale: LossScale
    stream: Stream
    ranks: Ranks
    tree: GradientTree

    @classmethod
    def new(cls, document: RunDocument, shards: Manifest, verify: Verify, ranks: Ranks) -> Self:
        """A trainer before its first step; `verify` says how shards are checked and changes no result."""
        settings, device = document.settings, train_device()
        plan = ReadPlan(
            seed=settings.seed, batch=settings.batch, shuffle=settings.shuffle, verify=verify, rank=ranks.rank,
            world_size=ranks.world_size, micro_batches=settings.micro_batches // ranks.world_size,
        )  # fmt: skip
        stream = open_stream(shards, plan)
        model = Transformer(settings.model, settings.seed).to(device).train()
        averaged = copy.deepcopy(model).eval().requires_grad_(False) if document.optimizer.averaging else None
        shapes = [parameter.shape for parameter in model.parameters()]
        tree = GradientTree(shapes, num_metrics=2, micro_batches=settings.micro_batches, device=device)
        optimizers, scale = new_optimizers(model, document.optimizer), LossScale.of(document.precision)
        return cls(document, model, averaged, optimizers, scale, stream, ranks, tree)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def products_seconds(self) -> float:
        """How long the matrix products of this rank's share of a step take alone, on this machine."""
        settings, dtype = self.document.settings, matmul_dtype(self.document.precision, self.device)
        rows = settings.batch // settings.micro_batches
        products = matrix_products(self.model, rows, self.document.layout.length - 1)
        return seconds_alone(products, dtype, self.device) * self.stream.plan.micro_batches

    @property
    def judged(self) -> Transformer:
        """The model that paints: the average where there is one."""
        return self.averaged or self.model

    def checkpoint(self, steps_done: int) -> Checkpoint:
        averaged = self.averaged.state_dict() if self.averaged else {}
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        scale, stream = self.scale.state(), self.stream.state()
        return Checkpoint(steps_done, self.model.state_dict(), averaged, optimizers, scale, stream)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Raises CheckFailed when the checkpoint is of another stream."""
        self.model.load_state_dict(checkpoint.model)
        if self.averaged is not None:
            self.averaged.load_state_dict(checkpoint.averaged)
        for optimizer, state in zip(self.optimizers, checkpoint.optimizers, strict=True):
            optimizer.load_state_dict(state)
        self.scale.resume(checkpoint.scale)
        self.stream.resume(checkpoint.stream)

    def train_step(self, step: int) -> StepEntry:
        """Do one update and return its line of the log. Raises CheckFailed when the loss is not finite."""
        document, is_skipped = self.document, skips(self.document.optimizer, step)
        largest = Largest(document.settings.model.depth, self.device) if document.settings.telemetry else None
        batches = [self._next_batch(step, number) for number in range(self.stream.plan.micro_batches)]
        text, codes = self.ranks.total(np.sum([batch.counts_B2.sum(axis=0) for batch in batches], axis=0).tolist())
        for batch in batches:
            self._add(batch, text, codes, largest, with_gradient=not is_skipped)
        summed = self.tree.total(self.ranks, document.settings.reduction)
        nats_text, nats_codes = summed.metrics.tolist()
        entry: StepEntry = {
            "step": step,
            "loss": (nats_text + nats_codes) / (text + codes),
            "text": nats_text / text,
            "codes": nats_codes / codes,
            "lr": learning_rate(document.optimizer, step),
            "norm": 0.0 if is_skipped else self._update(summed, step),
            "tokens": text + codes,
            "samples": self.stream.state()["samples"],
        }
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
        settings, positions = self.document.settings, self.stream.plan.positions(step, number)
        noise = CodeNoise(settings.code_noise, settings.seed, positions) if settings.code_noise else None
        rows = captions_seen(self.stream.next(), positions, settings, self.document.layout)
        return MicroBatch.of(rows, self.document.layout, self.device, noise)

    def _add(self, batch: MicroBatch, text: int, codes: int, largest: Largest | None, with_gradient: bool) -> None:
        """Add a micro-batch's nats, and the gradient of its share of the loss.

        The loss is the weighted mean over the `text` and `codes` targets of the global batch.
        """
        dtype = matmul_dtype(self.document.precision, self.device)
        weight = self.document.settings.text_weight
        weights_2 = torch.tensor([weight, 1.0], device=self.device)
        with torch.set_grad_enabled(with_gradient):
            nats_2 = batch.nats_B2(self.model, dtype, largest).sum(dim=0)
        if with_gradient:
            torch.autograd.backward((nats_2 * weights_2).sum() * (self.scale.value / (weight * text + codes)))
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.model.parameters()]
        self.tree.add(gradients, nats_2.detach())
        self.model.zero_grad(set_to_none=True)

    def _update(self, summed: Summed, step: int) -> float:
        """Learn from the summed gradients, unless they have overflowed; return their norm before clipping."""
        if not self.scale.is_fixed:
            torch._foreach_mul_(summed.gradients, 1 / self.scale.value)
        for parameter, gradient in zip(self.model.parameters(), summed.gradients, strict=True):
            parameter.grad = gradient
        norm = clip(self.model, self.document.optimizer).item()
        self.scale.update(math.isfinite(norm))
        if self.scale.is_fixed or math.isfinite(norm):
            take_step(self.optimizers, self.document.optimizer, step)
            self._average()
        self.model.zero_grad(set_to_none=True)
        return norm

    def _average(self) -> None:
        if self.averaged is not None:
            averages: list[Tensor] = list(self.averaged.parameters())
            weights: list[Tensor] = list(self.model.parameters())
            torch._foreach_lerp_(averages, weights, 1 - self.document.optimizer.averaging)
