"""How far the parts at work have come, from a file that each leaves in its scratch folder.

progress = PartProgress(Path(part.scratch))         # in a worker
progress.say(rows=64, encoding_seconds=1.9)         # of this part so far; written once a second
meter = RowMeter(out, total=7233)                   # in the driver, for `run_stage`
"""

import json
import time
from pathlib import Path
from typing import TypedDict

_FILE = "progress.json"
_EVERY_SECONDS = 1.0


class Progress(TypedDict):
    rows: int
    encoding_ms: int
    elapsed_ms: int


class PartProgress:
    """Written by rename alone: a lost line costs nothing."""

    def __init__(self, scratch: Path) -> None:
        self._scratch, self._began, self._said = scratch, time.monotonic(), 0.0
        self._rows, self._seconds = 0, 0.0  # of the stretches before the one at work

    def say(self, rows: int, encoding_seconds: float) -> None:
        """How far the stretch at work has come."""
        now = time.monotonic()
        if now - self._said < _EVERY_SECONDS:
            return
        self._said = now
        line = Progress(
            rows=self._rows + rows,
            encoding_ms=round(1000 * (self._seconds + encoding_seconds)),
            elapsed_ms=round(1000 * (now - self._began)),
        )
        temporary = self._scratch / f".{_FILE}"
        temporary.write_text(json.dumps(line))
        temporary.replace(self._scratch / _FILE)

    def end_stretch(self, rows: int, encoding_ms: int) -> None:
        self._rows += rows
        self._seconds += encoding_ms / 1000


def read_progress(scratch: Path) -> list[Progress]:
    """Of each part at work. `scratch` holds their scratch folders."""
    found: list[Progress] = []
    for file in scratch.glob(f"*/{_FILE}"):
        try:
            found.append(json.loads(file.read_text()))
        except (OSError, ValueError):  # its part has just ended
            continue
    return found
