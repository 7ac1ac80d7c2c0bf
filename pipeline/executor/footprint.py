"""How long a phase took, and how much memory all of its processes held at most.

    with Footprint() as footprint:
        …
    footprint.seconds, footprint.peak_mb

Memory is the proportional set size of this process and all below it (Ray's workers are), so that shared
libraries count once; sampled once a second.
"""

import threading
import time
from types import TracebackType

import psutil

_EVERY_SECONDS = 1.0


class Footprint:
    seconds: float = 0.0
    peak_mb: int = 0

    def __enter__(self) -> "Footprint":
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self.seconds = round(time.monotonic() - self._began, 1)

    def _watch(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, _held_bytes() // 1_000_000)
            if self._stop.wait(_EVERY_SECONDS):
                return


def _held_bytes() -> int:
    this = psutil.Process()
    held = 0
    for process in [this, *this.children(recursive=True)]:
        try:
            held += getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss
        except psutil.Error:  # it ended between the listing and the look
            continue
    return held
