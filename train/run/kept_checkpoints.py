"""The checkpoints that a run keeps: the newest few, and, with `wsd`, one that is never pruned.

    kept = KeptCheckpoints(folder, keep=2, pinned=1600)
    kept.save(trainer.checkpoint(200))     # returns when the tensors are copied; a thread writes the file
    kept.close()                           # waits for it, and raises what went wrong

`checkpoints/step-000200.safetensors` appears whole; then `checkpoint.safetensors`, a second name of the same file, is
moved to it by rename; only then are older ones removed. A kill at any moment leaves the newest whole one in its place.
"""

import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ...manifests.run_folders import TrainFolder
from .checkpoint import Checkpoint, save_checkpoint


class KeptCheckpoints:
    def __init__(self, folder: TrainFolder, keep: int, pinned: int | None) -> None:
        self._folder, self._keep, self._pinned = folder, keep, pinned
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        self.wait()
        self._writing = self._thread.submit(self._write, checkpoint.copied())

    def wait(self) -> None:
        """Return when the last checkpoint is on the disk. Raises what prevented it."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def close(self) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, checkpoint: Checkpoint) -> None:
        path = checkpoint_path(self._folder, checkpoint.step)
        save_checkpoint(path, checkpoint)
        make_latest(self._folder, checkpoint.step)
        others = [step for step in kept_steps(self._folder) if step not in (checkpoint.step, self._pinned)]
        for step in others[: max(0, len(others) - self._keep + 1)]:
            checkpoint_path(self._folder, step).unlink()


def checkpoint_path(folder: TrainFolder, step: int) -> Path:
    return folder.checkpoints / f"step-{step:09d}.safetensors"


def kept_steps(folder: TrainFolder) -> list[int]:
    """The numbers of steps that were done when a checkpoint was kept, rising."""
    return sorted(int(path.stem.removeprefix("step-")) for path in folder.checkpoints.glob("step-*.safetensors"))


def make_latest(folder: TrainFolder, step: int) -> None:
    """Let `checkpoint.safetensors` be that of `step`, by rename."""
    temporary = folder.checkpoint.with_name(f".{folder.checkpoint.name}.latest")
    temporary.unlink(missing_ok=True)
    try:
        os.link(checkpoint_path(folder, step), temporary)
    except OSError:  # a file system without second names
        shutil.copyfile(checkpoint_path(folder, step), temporary)
    temporary.replace(folder.checkpoint)
