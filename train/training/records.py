"""What the first rank writes and shows while a run is trained: logs, checkpoints, progress, TensorBoard.

with Records(run, habits, first_step=200, show=progress, seconds_a_token=1e-4) as records:
    records.add_step(entry)
    records.add_validation(entry)
    records.save(trainer.checkpoint(400))
"""

import time
from collections import deque
from contextlib import ExitStack
from typing import Any, Self

from ...manifests.errors import BadInput
from ...manifests.recipe.training import Train
from ..run.checkpoint import Checkpoint
from ..run.kept_checkpoints import KeptCheckpoints
from ..run.loss_log import StepEntry, append_entry, flush_to_disk, reopen_losses, reopen_validation
from ..run.run import Run
from .process import Show
from .validation import ValidationEntry

_RATE_STEPS = 20  # the last ones, over which tokens per second are counted


class Records:
    def __init__(self, run: Run, habits: Train, first_step: int, show: Show, seconds_a_token: float) -> None:
        folder, num_steps = run.folder, run.document.optimizer.num_steps
        self._open = ExitStack()
        self._losses = self._open.enter_context(reopen_losses(folder.losses, first_step))
        self._validation = self._open.enter_context(reopen_validation(folder.validation, first_step))
        self._board: Any = self._open.enter_context(_board(run, first_step)) if habits.tensorboard else None
        self._checkpoints = KeptCheckpoints(folder, habits.keep, run.document.optimizer.branch_step)
        self._open.callback(self._checkpoints.close)
        self._advance = self._open.enter_context(show("train", num_steps - first_step, "step"))
        self._ends: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], maxlen=_RATE_STEPS)  # time, tokens
        self._seconds_a_token = seconds_a_token  # of its matrix products alone
        self._last_validation = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def add_step(self, entry: StepEntry) -> None:
        append_entry(self._losses, entry)
        self._ends.append((time.monotonic(), entry["tokens"]))
        seconds = self._ends[-1][0] - self._ends[0][0]
        tokens = sum(count for _, count in list(self._ends)[1:])
        rate = f"{tokens / seconds:,.0f} tokens/s, {tokens * self._seconds_a_token / seconds:.0%} MFU"
        self._advance(1, note=f"loss {entry['loss']:.3f}{self._last_validation} · {rate}")
        if self._board is not None:
            for name in ("loss", "text", "codes", "reverse", "lr", "norm"):
                if name in entry:
                    self._board.add_scalar(f"train/{name}", entry[name], entry["step"] + 1)

    def add_validation(self, entry: ValidationEntry) -> None:
        append_entry(self._validation, entry)
        self._last_validation = f" · validation {entry['loss']:.3f}"
        if self._board is not None:
            values = {name: value for name, value in entry.items() if name not in ("step", "sources")}
            for name, value in {**values, **entry["sources"]}.items():
                self._board.add_scalar(f"validation/{name}", value, entry["step"])

    def save(self, checkpoint: Checkpoint) -> None:
        """The logs are on the disk before the checkpoint, which must never be ahead of them."""
        flush_to_disk(self._losses)
        flush_to_disk(self._validation)
        self._checkpoints.save(checkpoint)


def _board(run: Run, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise BadInput(
            "`train.tensorboard` needs a package that is not here", cure="pip install 'tuwen[tensorboard]'"
        ) from None
    return SummaryWriter(run.folder.tensorboard, purge_step=first_step + 1)
