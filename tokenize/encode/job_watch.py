"""What the driver sees of a job of encoding: progress in pairs, and what must stop it.

watch = JobWatch(out / ".scratch", total=7233, max_failed=0.2, max_fall_db=6.0)
run_stage(TOKENIZE, parts, config, out, run, meter=watch)
"""

from pathlib import Path
from typing import Any

from ...manifests.counted import counted
from ...manifests.errors import CheckFailed
from ...pipeline.executor.part import PartResult
from ...pipeline.executor.progress import Advance
from .part_progress import Progress, read_progress
from .quality_gate import QualityGate


class JobWatch:
    """A `Meter` of pairs, which notes the share of time in which encoders were busy."""

    unit = "pair"

    def __init__(self, scratch: Path, total: int, max_failed: float, max_fall_db: float) -> None:
        self.total = total
        self._scratch, self._max_failed, self._gate = scratch, max_failed, QualityGate(max_fall_db)
        self._finished: list[Progress] = []
        self._lost = self._shown = 0

    def finished(self, result: PartResult[Any]) -> None:
        """Raises CheckFailed when too many pictures were lost, or when a shard is far worse than those before it."""
        summary = result.summary
        self._finished.append(
            Progress(rows=summary["pairs"], encoding_ms=summary["encoding_ms"], elapsed_ms=summary["elapsed_ms"])
        )
        self._lost += len(summary["lost"])
        check_lost(self._lost, self.total, self._max_failed)
        if summary["entry"] is not None:
            self._gate.check(result.name, summary["entry"]["quality"])

    def show(self, advance: Advance) -> None:
        parts = [*self._finished, *read_progress(self._scratch)]
        rows = sum(part["rows"] for part in parts)
        if rows > self._shown:
            busy = sum(part["encoding_ms"] for part in parts) / max(1, sum(part["elapsed_ms"] for part in parts))
            advance(rows - self._shown, f"encoder busy {busy:.0%}")
            self._shown = rows


def check_lost(lost: int, total: int, most: float) -> None:
    """Raises CheckFailed when more than a share of all pairs was lost."""
    if lost > most * total:
        raise CheckFailed(
            f"the pictures of {counted(lost, 'pair')} of {total:,} can no longer be read, so the job was stopped",
            cure="look at the disk, then give the command again with --retry-lost; `tokenize.quality.max_failed` is "
            "the share that is accepted",
        )
