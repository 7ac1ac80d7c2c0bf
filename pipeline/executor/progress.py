"""One line on standard error while something takes longer than two seconds: phase, bar, rate, time left.

    with progress("measure", total=32, unit="part") as advance:
        advance(1)

On a terminal the line is redrawn; into a file or a pipe a plain line goes every ten seconds. It comes from a thread of
its own, so that it also shows while the first of few parts takes minutes.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
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
    bar = Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(40),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        _Rate(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        refresh_per_second=4,
    )
    task = bar.add_task(phase, total=total, note="")
    appear = threading.Timer(_QUIET_SECONDS, bar.start)
    appear.daemon = True
    appear.start()
    try:
        yield lambda count=1, note="": bar.update(task, advance=count, note=note)
    finally:
        appear.cancel()
        if bar.live.is_started:
            bar.stop()


@contextmanager
def _plain(phase: str, total: int, unit: str) -> Iterator[Advance]:
    began, done, last_note, ended = time.monotonic(), 0, "", threading.Event()

    def say(left: str) -> None:
        seconds = time.monotonic() - began
        line = f"{phase}: {done}/{total} · {_rate(done / seconds, unit)} · {left} {last_note}"
        print(line.rstrip(), file=sys.stderr, flush=True)

    def watch() -> None:
        while not ended.wait(_PLAIN_EVERY_SECONDS):
            seconds = time.monotonic() - began
            say(f"{(total - done) * seconds / done:.0f} s left" if done else f"{seconds:.0f} s so far")

    def advance(count: int = 1, note: str = "") -> None:
        nonlocal done, last_note
        done, last_note = done + count, note

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield advance
    finally:
        ended.set()
        watcher.join()
        if time.monotonic() - began > _QUIET_SECONDS:
            say(f"{time.monotonic() - began:.0f} s in all")


def _rate(speed: float, unit: str) -> str:
    return f"{speed:,.0f} {unit}s/s" if speed >= 10 else f"{speed:.2f} {unit}s/s"
