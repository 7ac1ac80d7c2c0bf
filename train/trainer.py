"""A model in training: one step is a batch, its losses, the gradient and an update.

    trainer = Trainer.new(document, shards, verify="block")
    entry = trainer.train_step(0)               # StepEntry: the losses, the learning rate, the norm of the gradient
    save_checkpoint(path, trainer.checkpoint(steps_done=1))

A step draws nothing at random, so equal weights and an equal step give equal bits.
Shapes: B rows, L tokens, V vocabulary.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..manifests.errors import CheckFailed
from ..manifests.manifest import Manifest
from ..manifests.shards.split_reader import Verify
from ..tokenize.precision import autocast, matmul_dtype
from ..tokenize.sequence import SequenceLayout
from .checkpoint import Checkpoint
from .loss_log import StepEntry
from .model import Transformer
from .optimizer import learning_rate, new_optimizer, take_step
from .read_plan import ReadPlan
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

    @classmethod
    def new(cls, document: RunDocument, shards: Manifest, verify: Verify) -> Self:
        """A trainer before its first step; `verify` says how shards are checked and changes no result."""
        settings = document.settings
        plan = ReadPlan(seed=settings.seed, batch=settings.batch, shuffle=settings.shuffle, verify=verify)
        stream = open_stream(shards, plan)
        model = Transformer(settings.model, settings.seed).to(train_device()).train()
        return cls(document, model, new_optimizer(model, document.optimizer), stream)

    def checkpoint(self, steps_done: int) -> Checkpoint:
        return Checkpoint(steps_done, self.model.state_dict(), self.optimizer.state_dict(), self.stream.state())

    def restore(self, checkpoint: Checkpoint) -> None:
        """Raises CheckFailed when the checkpoint is of another stream."""
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.stream.resume(checkpoint.stream)

    def train_step(self, step: int) -> StepEntry:
        """Do one update and return its line of the log. Raises CheckFailed when the loss is not finite."""
        document, layout = self.document, self.document.layout
        device = next(self.model.parameters()).device
        ids, positions = layout.sequences(*self.stream.next())
        longest = int((ids != layout.pad).sum(axis=1).max())  # padding is at the end: cut what all rows have of it
        ids_BL = torch.from_numpy(ids[:, :longest]).to(device)
        positions_BL = torch.from_numpy(positions[:, :longest]).to(device)
        with autocast(device, matmul_dtype(document.precision, device)):
            logits_BLV = self.model(ids_BL[:, :-1], positions_BL[:, :-1])
        loss, text_loss, code_loss = losses_of(logits_BLV, ids_BL[:, 1:], layout)
        torch.autograd.backward(loss)
        norm = take_step(self.optimizer, document.optimizer, step)
        if not torch.isfinite(loss):
            raise CheckFailed(
                f"step {step}: the loss is {loss.item()}", cure="lower `train.lr` and begin again in another --out"
            )
        return {
            "step": step,
            "loss": loss.item(),
            "text": text_loss.item(),
            "codes": code_loss.item(),
            "lr": learning_rate(document.optimizer, step),
            "norm": norm.item(),
            "samples": self.stream.state()["samples"],
        }


def losses_of(logits_BLV: Tensor, targets_BL: Tensor, layout: SequenceLayout) -> tuple[Tensor, Tensor, Tensor]:
    """Mean nats per token: of all tokens but padding, of text and commands, and of picture codes.

    The kind of a token is that of the target, the token that is predicted.
    """
    targets = targets_BL.flatten()
    nats = F.cross_entropy(logits_BLV.float().flatten(0, 1), targets, reduction="none")
    counts, is_code = targets != layout.pad, targets < layout.text_offset
    return nats[counts].mean(), nats[counts & ~is_code].mean(), nats[is_code].mean()
