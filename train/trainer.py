"""A model in training: one step is a global batch, the gradients of its micro-batches, their sum and an update.

    trainer = Trainer.new(document, shards, verify="block", ranks=Ranks())
    entry = trainer.train_step(0)               # StepEntry: the losses, the learning rate, the norm of the gradient
    save_checkpoint(path, trainer.checkpoint(steps_done=1))

A step draws nothing at random, so equal weights and an equal step give equal bits, on every rank of any number of them.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ..manifests.errors import CheckFailed
from ..manifests.manifest import Manifest
from ..manifests.shards.split_reader import Verify
from ..tokenize.precision import matmul_dtype
from .checkpoint import Checkpoint
from .loss_log import StepEntry
from .micro_batch import MicroBatch
from .model import Transformer
from .optimizer import learning_rate, new_optimizer, take_step
from .ranks import Ranks
from .read_plan import ReadPlan
from .reduction import GradientTree
from .run import RunDocument
from .stream import Stream, open_stream


def train_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Trainer:
    document: RunDocument
    model: Transformer
    optimizer: torch.optim.Optimizer
    stream: Stream
    ranks: Ranks
    tree: GradientTree

    @classmethod
    def new(cls, document: RunDocument, shards: Manifest, verify: Verify, ranks: Ranks) -> Self:
        """A trainer before its first step; `verify` says how shards are checked and changes no result."""
        settings, device = document.settings, train_device()
        own = settings.micro_batches // ranks.world_size
        plan = ReadPlan(
            seed=settings.seed, batch=settings.batch, shuffle=settings.shuffle, verify=verify,
            rank=ranks.rank, world_size=ranks.world_size, micro_batches=own,
        )  # fmt: skip
        model = Transformer(settings.model, settings.seed).to(device).train()
        shapes = [parameter.shape for parameter in model.parameters()]
        tree = GradientTree(shapes, num_metrics=2, micro_batches=settings.micro_batches, device=device)
        return cls(document, model, new_optimizer(model, document.optimizer), open_stream(shards, plan), ranks, tree)

    def checkpoint(self, steps_done: int) -> Checkpoint:
        return Checkpoint(steps_done, self.model.state_dict(), self.optimizer.state_dict(), self.stream.state())

    def restore(self, checkpoint: Checkpoint) -> None:
        """Raises CheckFailed when the checkpoint is of another stream."""
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.stream.resume(checkpoint.stream)

    def train_step(self, step: int) -> StepEntry:
        """Do one update and return its line of the log. Raises CheckFailed when the loss is not finite."""
        document, device = self.document, next(self.model.parameters()).device
        batches = [
            MicroBatch.of(self.stream.next(), document.layout, device) for _ in range(self.stream.plan.micro_batches)
        ]
        text, codes = self.ranks.total([sum(kind) for kind in zip(*(batch.counts for batch in batches), strict=True)])
        for batch in batches:
            self._add_gradient(batch, num_targets=text + codes)
        summed = self.tree.total(self.ranks, document.settings.reduction)
        nats_text, nats_codes = summed.metrics.tolist()
        loss = (nats_text + nats_codes) / (text + codes)
        if not math.isfinite(loss):
            raise CheckFailed(
                f"step {step}: the loss is {loss}", cure="lower `train.lr` and begin again in another --out"
            )
        for parameter, gradient in zip(self.model.parameters(), summed.gradients, strict=True):
            parameter.grad = gradient
        norm = take_step(self.optimizer, document.optimizer, step)
        return {
            "step": step,
            "loss": loss,
            "text": nats_text / text,
            "codes": nats_codes / codes,
            "lr": learning_rate(document.optimizer, step),
            "norm": norm.item(),
            "samples": self.stream.state()["samples"],
        }

    def _add_gradient(self, batch: MicroBatch, num_targets: int) -> None:
        """Add the gradient of a micro-batch's share of the loss, the mean over all targets of the global batch."""
        dtype = matmul_dtype(self.document.precision, batch.ids_BL.device)
        nats = batch.nats(self.model, dtype)
        torch.autograd.backward(nats.sum() / num_targets)
        gradients: list[Tensor] = [p.grad for p in self.model.parameters() if p.grad is not None]
        self.tree.add(gradients, nats.detach())
        self.model.zero_grad(set_to_none=True)
