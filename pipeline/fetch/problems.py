"""Refused: a picture is not fetched, for one of the reasons of the stage `fetch` in `pipeline.reasons`.

    raise Refused("too_many_bytes")

A problem that may pass (`retriable`) is tried again in the same run, after a pause, and in each later run. Any other
problem is final.
"""

_MAY_PASS = frozenset(
    {"connection_failed", "proxy_failed", "timed_out", "robots_unreachable", "host_asks_to_wait", "host_down",
     "cut_body", "unforeseen"}
)  # fmt: skip
_SETTLED = frozenset({"host_asks_to_wait", "host_down"})
_STATUS_MAY_PASS = frozenset({408, 425, 429})


class Refused(Exception):
    """The problem, and the details for a person who looks for its cause."""

    def __init__(self, problem: str, detail: str = "", *, status: int | None = None, retriable: bool | None = None):
        super().__init__(problem)
        self.problem, self.detail, self.status = problem, detail[:300], status
        self.retriable = problem in _MAY_PASS if retriable is None else retriable
        self.retry_after: float | None = None  # seconds, as the server asked
        self.settled = problem in _SETTLED  # may pass, but not in this run

    def again(self) -> "Refused":
        """A copy to raise: an exception that is raised ten thousand times collects ten thousand tracebacks."""
        fresh = Refused(self.problem, self.detail, status=self.status, retriable=self.retriable)
        fresh.settled = self.settled
        return fresh


def refused_by_status(status: int) -> Refused:
    return Refused(f"http_{status}", status=status, retriable=status in _STATUS_MAY_PASS or status // 100 == 5)
