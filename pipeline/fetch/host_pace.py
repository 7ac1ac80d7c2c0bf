"""How fast requests go to a host: at most so many at a time and a second, with a pause when the host asks for one.

    async with paces.turn("example.com") as pace:      # waits for its turn; raises Refused when the wait is too long
        …
        pace.answered()                                 # or pace.failed(refusal), pace.pause(seconds)

Rows of one host wait at its own gate, so that a slow host never blocks the others. All limits are per task: those of
the whole run are divided by the number of tasks before they come here.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .problems import Refused

# In one part a host that asks for pauses (Crawl-delay, Retry-After) is waited for this long. Its other rows are
# retriable, and are tried when the command is given again.
PATIENCE_SECONDS = 300.0
# Failures in a row, without one answer, after which a host is given up. With 4 at a time and 60 s each, a dead host
# costs three minutes, not days.
_STRIKES = 10
# Timers are late by about a millisecond: without this, no host would get more than 900 requests a second.
_CATCH_UP_SECONDS = 0.02


class HostPace:
    def __init__(self, per_second: float, in_flight: int) -> None:
        self._interval = 1 / per_second
        self.slots = asyncio.Semaphore(in_flight)
        self.gate = asyncio.Lock()
        self._next = -math.inf
        self._strikes = 0
        self._gone: Refused | None = None
        self._paused_until = -math.inf
        self._patience_until = math.inf
        self._crawl_delay = 0.0

    async def wait(self) -> None:
        """Wait until the next request may start. The caller holds the gate, and calls `started` next."""
        while True:
            if self._gone:
                raise self._gone.again()
            if self._strikes >= _STRIKES:
                raise Refused("host_down")
            now = _now()
            start = max(self._next, self._paused_until)
            if start > max(now, self._patience_until):
                raise Refused("host_asks_to_wait")
            if start <= now:
                return
            await asyncio.sleep(start - now)  # meanwhile an answer to another request may ask for a pause

    def started(self) -> None:
        self._next = max(self._next, _now() - _CATCH_UP_SECONDS) + max(self._interval, self._crawl_delay)

    def crawl_delay(self, seconds: float) -> None:
        if seconds > max(self._interval, self._crawl_delay):
            self._crawl_delay = seconds
            self._be_patient()

    def pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, _now() + seconds)
        self._be_patient()

    def answered(self) -> None:
        self._strikes = 0
        if not self._crawl_delay:
            self._patience_until = math.inf

    def failed(self, refusal: Refused) -> None:
        self._strikes += 1
        if refusal.problem == "dns_failed" and not refusal.retriable:
            self._gone = refusal  # nobody has that name: no other address of it need be looked up

    def _be_patient(self) -> None:
        self._patience_until = min(self._patience_until, _now() + PATIENCE_SECONDS)


class Paces:
    """The pace of every host, and of all together."""

    def __init__(self, per_host_per_second: float, per_host_in_flight: int, in_flight: int) -> None:
        self._limits = per_host_per_second, per_host_in_flight
        self._running = asyncio.Semaphore(in_flight)
        self._hosts: dict[str, HostPace] = {}

    def of(self, host: str) -> HostPace:
        if host not in self._hosts:
            self._hosts[host] = HostPace(*self._limits)
        return self._hosts[host]

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[HostPace]:
        pace = self.of(host)
        async with pace.slots:
            async with pace.gate:
                await pace.wait()
                await self._running.acquire()
                pace.started()
            try:
                yield pace
            finally:
                self._running.release()


def _now() -> float:
    return asyncio.get_running_loop().time()
