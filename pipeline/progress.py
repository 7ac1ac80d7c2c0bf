"""One line on standard error while something takes longer than two seconds: phase, bar, rate, time left.

    with progress("measure", total=32, unit="part") as advance:
        advance(1)

On a terminal the line is redrawn; into a file or a pipe a plain line goes every ten seconds.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_QUIET_SECONDS = 2.0
_PLAIN_EVERY_SECONDS = 10.0

Advance = Callable[..., None]


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        return Text(_rate(task.speed or 0.0, self.unit))


@contextmanager
def progress(phase: str, total: int, unit: str) -> Iterator[Advance]:
    """Yield `advance(count, note="")`; `note` (a loss, say) stands at the end of the line."""
    shown = _on_terminal(phase, total, unit) if sys.stderr.isatty() else _plain(phase, total, unit)
    with shown as advance:
        yield advance


@contextmanager
def _on_terminal(phase: str, total: int, unit: str) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(40),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        _Rate(unit),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
    )
    began = time.monotonic()
    bar = Progress(*columns, console=Console(stderr=True), transient=False, refresh_per_second=4)
    task = bar.add_task(phase, total=total, note="")

    def advance(count: int = 1, note: str = "") -> None:
        bar.update(task, advance=count, note=note)
        if not bar.live.is_started and time.monotonic() - began > _QUIET_SECONDS:
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def _plain(phase: str, total: int, unit: str) -> Iterator[Advance]:
    began = last = time.monotonic()
    done = 0

    def advance(count: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= _PLAIN_EVERY_SECONDS or (done >= total and now - began > _QUIET_SECONDS):
            speed = done / (now - began)
            left = f"{(total - done) / speed:.0f} s left" if speed and done < total else f"{now - began:.0f} s in all"
            print(
                f"{phase}: {done}/{total} · {_rate(speed, unit)} · {left} {note}".rstrip(), file=sys.stderr, flush=True
            )
            last = now

    yield advance


def _rate(speed: float, unit: str) -> str:
    return f"{speed:,.0f} {unit}s/s" if speed >= 10 else f"{speed:.2f} {unit}s/s"
