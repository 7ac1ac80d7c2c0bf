"""losses.jsonl, one line a step, and validation.jsonl: exact floats, cut back to the checkpoint on resume.

entries = read_losses(folder.losses)
with reopen_losses(folder.losses, num_steps=200) as log:        # what follows step 199 is cut off
    append_entry(log, entry)
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TextIO, TypedDict

import torch

from ...manifests.atomic import whole_file
from ...manifests.errors import CheckFailed


class StepEntry(TypedDict):
    step: int  # from 0
    loss: float  # mean nats per token
    text: float  # mean nats per token of text and commands
    codes: float  # mean nats per code
    lr: float
    norm: float  # of the gradient, before it is clipped; 0 in a step that was skipped
    tokens: int  # that the loss is a mean of
    samples: int  # read until the end of this step
    reverse: NotRequired[float]  # mean nats per piece of captions after their picture, where the step has some
    scale: NotRequired[float]  # of the loss, with float16
    overflows: NotRequired[int]  # steps so far that were not learned from, with float16
    largest_residual: NotRequired[float]  # absolute value of what a block hands on, with telemetry
    largest_score: NotRequired[float]  # of attention
    largest_logit: NotRequired[float]
    largest_residuals: NotRequired[list[float]]  # block by block, with `telemetry: layers`
    largest_scores: NotRequired[list[float]]


def read_losses(path: Path) -> list[StepEntry]:
    """One entry a step, and none when there is no file; a last line that a kill cut short does not count."""
    return read_lines(path)


def read_lines(path: Path) -> list[Any]:
    lines = path.read_text().splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def append_entry(log: TextIO, entry: Mapping[str, Any]) -> None:
    log.write(json.dumps(entry, ensure_ascii=False) + "\n")


def flush_to_disk(log: TextIO) -> None:
    log.flush()
    os.fsync(log.fileno())


def reopen_losses(path: Path, num_steps: int) -> TextIO:
    """Cut the log back to `num_steps` entries and open it for appending: later steps are done again.

    Raises CheckFailed when it has fewer.
    """
    kept = read_losses(path)[:num_steps]
    if len(kept) < num_steps:
        raise CheckFailed(
            f"{path}: shorter than the checkpoint's {num_steps} steps", cure="restore it, or delete the run"
        )
    return _reopen(path, kept)


def reopen_validation(path: Path, num_steps: int) -> TextIO:
    """Cut the log back to what was measured after at most `num_steps` steps."""
    return _reopen(path, [entry for entry in read_lines(path) if entry["step"] <= num_steps])


def _reopen(path: Path, kept: list[Any]) -> TextIO:
    with whole_file(path) as temporary, temporary.open("w") as log:
        for entry in kept:
            append_entry(log, entry)
    return path.open("a")


def write_largest(entry: StepEntry, numbers: list[float], with_layers: bool) -> None:
    """Write what `numbers` says into the fields of the log."""
    *both, logit = numbers
    residuals, scores = both[: len(both) // 2], both[len(both) // 2 :]
    entry["largest_residual"] = torch.tensor(residuals).amax().item()  # NaN wins, as it must
    entry["largest_score"] = torch.tensor(scores).amax().item()
    entry["largest_logit"] = logit
    if with_layers:
        entry["largest_residuals"], entry["largest_scores"] = residuals, scores
