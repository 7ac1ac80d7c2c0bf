"""losses.jsonl: one line a step, with exact floats.

entries = read_losses(folder.losses)
with reopen_losses(folder.losses, num_steps=200) as log:        # what follows step 199 is cut off
    append_entry(log, entry)
"""

import json
from pathlib import Path
from typing import TextIO, TypedDict

from ..manifests.atomic import whole_file
from ..manifests.errors import CheckFailed


class StepEntry(TypedDict):
    step: int  # from 0
    loss: float  # mean nats per token
    text: float  # mean nats per token of text and commands
    codes: float  # mean nats per code
    lr: float
    norm: float  # of the gradient, before it is clipped
    samples: int  # read until the end of this step


def read_losses(path: Path) -> list[StepEntry]:
    """One entry a step, and none when there is no file; a last line that a kill cut short does not count."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def append_entry(log: TextIO, entry: StepEntry) -> None:
    log.write(json.dumps(entry) + "\n")


def reopen_losses(path: Path, num_steps: int) -> TextIO:
    """Cut the log back to `num_steps` entries and open it for appending: later steps are done again.

    Raises CheckFailed when it has fewer.
    """
    kept = read_losses(path)[:num_steps]
    if len(kept) < num_steps:
        raise CheckFailed(
            f"{path}: shorter than the checkpoint's {num_steps} steps", cure="restore it, or delete the run"
        )
    with whole_file(path) as temporary:
        temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
    return path.open("a")
