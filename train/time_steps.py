"""How many steps fit into the minutes that a recipe states: measured once, then written into run.json.

num_steps = steps_within(8.0, document, shards, verify="block", process=Process())
"""

import statistics
import time

from ..manifests.manifest import Manifest
from ..manifests.shards.split_reader import Verify
from .process import Process
from .run import RunDocument
from .trainer import Trainer

WARM_UP_STEPS = 4  # not timed: the first ones read shards and allocate memory
NUM_STEPS = WARM_UP_STEPS + 12


def steps_within(minutes: float, document: RunDocument, shards: Manifest, verify: Verify, process: Process) -> int:
    """The number of steps, 2 or more, by the median time of a step of a model that is thrown away."""
    trainer = Trainer.new(document, shards, verify, process.ranks)
    seconds = []
    with trainer.stream, process.show("time steps", NUM_STEPS, "step") as advance:
        for step in range(NUM_STEPS):
            began = time.perf_counter()
            trainer.train_step(step)
            seconds.append(time.perf_counter() - began)
            advance()
    return max(2, round(60 * minutes / statistics.median(seconds[WARM_UP_STEPS:])))
