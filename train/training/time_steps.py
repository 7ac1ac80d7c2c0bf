"""How many steps fit into the minutes that a recipe states: measured once, then written into run.json.

num_steps = steps_within(8.0, document, shards, recipe.train, process=Process())
"""

import statistics
import time

from ...manifests.manifest import Manifest
from ...manifests.recipe.training import Train
from ..run.run import RunDocument
from .process import Process
from .trainer import Trainer
from .validation import Validation

WARM_UP_STEPS = 4  # not timed: the first ones read shards and allocate memory
NUM_STEPS = WARM_UP_STEPS + 12


def steps_within(minutes: float, document: RunDocument, shards: Manifest, habits: Train, process: Process) -> int:
    """The number of steps, 2 or more, by the median time of a step, and of its share of a validation.

    The model is thrown away.
    """
    trainer = Trainer.new(document, shards, habits.verify, process.ranks, habits.sharded)
    validation = Validation.of(document, shards, process.ranks, trainer.device)
    seconds = []
    with trainer.stream, process.show("time steps", NUM_STEPS, "step") as advance:
        for step in range(NUM_STEPS):
            began = time.perf_counter()
            trainer.train_step(step)
            seconds.append(time.perf_counter() - began)
            advance()
    each = statistics.median(seconds[WARM_UP_STEPS:])
    if validation is not None:
        began = time.perf_counter()
        validation.losses(trainer.model, NUM_STEPS)
        each += (time.perf_counter() - began) / document.settings.validate_every
    return max(2, round(60 * minutes / each))
