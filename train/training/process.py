"""Where one process of a training runs, and how it is watched and stopped. None of it changes a result.

process = Process(ranks)                 # with the progress line of `pipeline.executor.progress`
process.stop.set()                       # as SIGTERM does: save a checkpoint after this step, and leave
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Event

from ...manifests.errors import TuwenError
from ...pipeline.executor.progress import Advance, progress
from ..ranks.ranks import ALONE, Ranks

Show = Callable[[str, int, str], AbstractContextManager[Advance]]  # phase, total, unit


@dataclass(frozen=True)
class Process:
    ranks: Ranks = ALONE
    stop: Event = field(default_factory=Event)
    show: Show = progress


class Stopped(TuwenError):
    """A training that was asked to end, and has saved what it had done."""

    exit_code = 143  # as a shell reports SIGTERM
