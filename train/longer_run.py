"""Why a run does not go on for more steps than it was begun with: every learning rate depends on their number.

    raise other_length(run, recipe.train, asked)      # BadInput: the first step that would be another, and the cure

The schedule rises over 4% of all steps, then falls on a cosine to 0 at the last one. It has no stable part: a longer
run differs from its first steps on, and a run that is done has come to rest at a rate of 0.
"""

from ..manifests.counted import counted
from ..manifests.errors import BadInput
from ..manifests.recipe.training import Train
from .optimizer import OptimizerConfig, learning_rate
from .preset import declared_steps
from .run import Run


def other_length(run: Run, recipe: Train, asked: OptimizerConfig | None) -> BadInput:
    """`asked` is the schedule of the recipe's steps; None: it states minutes, for which they would be measured anew."""
    own = run.document.optimizer
    measured = f", measured for {run.document.minutes} minutes" if run.document.minutes else ""
    holds = f"{run.folder.path}: holds a run of {counted(own.num_steps, 'step')}{measured} ({len(run.losses):,} done)"
    why = "its learning rates rise and fall with the number of all steps, and reach 0 at the last"
    if asked is not None:
        step = _first_difference(own, asked)
        rates = f"{learning_rate(asked, step):.3g} and not {learning_rate(own, step):.3g}"
        why += f": of {asked.num_steps:,} steps, step {step:,} would have the rate {rates}"
    other = f"{declared_steps(recipe):,} steps" if asked is not None else f"{recipe.minutes:g} minutes"
    cure = f"give --set train.steps={own.num_steps} to go on with it, or another --out to train for {other}"
    return BadInput(f"{holds}; {why}", cure=cure)


def _first_difference(a: OptimizerConfig, b: OptimizerConfig) -> int:
    """The first step at which the learning rates of two schedules of other lengths differ."""
    steps = range(min(a.num_steps, b.num_steps))
    return next((step for step in steps if learning_rate(a, step) != learning_rate(b, step)), len(steps))
