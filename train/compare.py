"""`tuwen compare`: do two training runs agree bit for bit?

difference = first_difference(open_run(a), open_run(b))      # None, or a line that says where they part
"""

from .run import Run


def first_difference(a: Run, b: Run) -> str | None:
    """Losses, gradient norms and learning rates of every step, as exact floats; then the number of steps."""
    losses_a, losses_b = a.losses, b.losses
    for left, right in zip(losses_a, losses_b, strict=False):
        names = [name for name in left if left[name] != right.get(name)]
        if names:
            name = names[0]
            return f"step {left['step']}: {name} is {left[name]!r} and {right.get(name)!r}"
    if len(losses_a) != len(losses_b):
        return f"step {min(len(losses_a), len(losses_b))}: one run has {len(losses_a)} steps, the other {len(losses_b)}"
    return None
