"""`tuwen compare`: whether two training runs are equal bit for bit, and where they begin to differ.

difference = first_difference(open_run(a), open_run(b))      # None, or one line with the step and the value
"""

import torch

from .checkpoint import load_checkpoint
from .run import Run


def first_difference(a: Run, b: Run) -> str | None:
    """Compare each line of the loss logs exactly, then the data digests, weights and optimizers of the checkpoints."""
    losses_a, losses_b = a.losses, b.losses
    for left, right in zip(losses_a, losses_b, strict=False):
        for name, value in left.items():
            if repr(value) != repr(right.get(name)):  # so that nan equals itself
                return f"step {left['step']}: {name} is {value!r} and {right.get(name)!r}"
    if len(losses_a) != len(losses_b):
        return f"step {min(len(losses_a), len(losses_b))}: one run has {len(losses_a)} steps, the other {len(losses_b)}"
    if not losses_a:
        return "step 0: neither run has done a step"
    return _checkpoint_difference(a, b)


def _checkpoint_difference(a: Run, b: Run) -> str | None:
    """Compare what no loss shows: the last update, and which rows were read."""
    left, right = (load_checkpoint(run.folder.checkpoint) for run in (a, b))
    if left is None or right is None:
        return None if left is right else f"step {len(a.losses)}: one run has no checkpoint"
    if left.stream != right.stream:
        return (
            f"step {left.step}: the data read before it differ ({left.stream['digest']} and {right.stream['digest']})"
        )
    of_a, of_b = left.tensors(), right.tensors()
    if list(of_a) != list(of_b):
        return f"step {left.step}: the models or their optimizers have other tensors"
    differing = (name for name, tensor in of_a.items() if not torch.equal(tensor, of_b[name]))
    name = next(differing, None)
    return name and f"step {left.step}: the checkpoints differ in `{name}`"
