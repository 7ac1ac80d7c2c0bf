"""A run whose plan is changed in steps that it has not done: more steps of a stable schedule, steps to skip.

    run = go_on_with(run, asked)       # None: every checkpoint that is kept is after the first change

A learning rate is a function of the step and of the plan. Where two plans agree on all steps before S, the run of one
is a run of the other until then, so a checkpoint of at most S steps continues either. On `wsd` the plans of more steps
agree until the decay, where a checkpoint is kept; on `cosine` they differ from the first steps on.
"""

import sys

from ...manifests.counted import counted
from ...manifests.errors import BadInput
from ...manifests.recipe.training import Train
from .kept_checkpoints import checkpoint_path, kept_steps, make_latest
from .preset import declared_steps
from .run import Run, RunDocument, write_document
from .schedule import OptimizerConfig, learning_rate, skips

OF_THE_PLAN = {
    "minutes",
    *(f"optimizer.{name}" for name in ("num_steps", "num_warmup_steps", "schedule", "decay_share", "skip_steps")),
}


def go_on_with(run: Run, asked: RunDocument) -> Run | None:
    """Make the run one of the plan that is asked for, from the newest checkpoint that it has in common with it."""
    folder, first = run.folder, first_difference(run.document.optimizer, asked.optimizer)
    step = max((step for step in kept_steps(folder) if step <= first), default=None)
    if step is None:
        return None
    make_latest(folder, step)  # of the old plan too, which is the run's until its document is replaced
    folder.manifest.unlink(missing_ok=True)
    write_document(folder, asked)
    for later in kept_steps(folder):
        if later > step:
            checkpoint_path(folder, later).unlink()
    print(f"the plan is another from step {first} on: goes on from step {step}", file=sys.stderr, flush=True)
    return Run(folder, asked)


def first_difference(a: OptimizerConfig, b: OptimizerConfig) -> int:
    """The first step of which one plan makes another update than the other."""
    steps = range(min(a.num_steps, b.num_steps))
    differing = (s for s in steps if learning_rate(a, s) != learning_rate(b, s) or skips(a, s) != skips(b, s))
    return next(differing, len(steps))


def other_plan(run: Run, recipe: Train, asked: OptimizerConfig | None) -> BadInput:
    """Why the run cannot go on; `asked` is None when the recipe states minutes, which would be measured anew."""
    own = run.document.optimizer
    measured = f", measured for {run.document.minutes} minutes" if run.document.minutes else ""
    holds = f"{run.folder.path}: holds a run of {counted(own.num_steps, 'step')}{measured} ({len(run.losses):,} done)"
    why = "its learning rates rise and fall with the number of all steps, and reach 0 at the last"
    if asked is not None:
        step = first_difference(own, asked)
        rates = f"{learning_rate(asked, step):.3g} and not {learning_rate(own, step):.3g}"
        why += f": of {asked.num_steps:,} steps, step {step:,} would have the rate {rates}"
        if skips(own, step) != skips(asked, step):
            why = f"step {step:,} would {'be skipped' if skips(asked, step) else 'not be skipped'}, and it is done"
    other = f"{declared_steps(recipe):,} steps" if asked is not None else f"{recipe.minutes:g} minutes"
    cure = f"give --set train.steps={own.num_steps} to go on with it, or another --out to train for {other}"
    return BadInput(f"{holds}; {why}", cure=cure)
