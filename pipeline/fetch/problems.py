"""Why a picture could not be had: a small fixed set of words, `http_STATUS` beside it, and which of them may pass.

    raise Refused("too_many_bytes")

Their titles are in `reasons`, what they mean in README.md. A problem that may pass (`retriable`) is tried again in the
same run, after a pause, and once more whenever the command is given again; any other is a verdict, and stays.
"""

FETCH_PROBLEMS = frozenset(
    {"bad_address", "broken_row", "dns_failed", "connection_failed", "proxy_failed", "tls_failed", "timed_out",
     "bad_answer", "bad_redirect", "too_many_redirects", "private_address", "robots_disallowed", "robots_unreachable",
     "robots_tag", "host_asks_to_wait", "host_down", "too_many_bytes", "empty_body", "cut_body", "bad_encoding",
     "not_a_picture", "unsupported_format", "unforeseen"}
)  # fmt: skip
_MAY_PASS = frozenset(
    {"connection_failed", "proxy_failed", "timed_out", "robots_unreachable", "host_asks_to_wait", "host_down",
     "cut_body", "unforeseen"}
)  # fmt: skip
_SETTLED = frozenset({"host_asks_to_wait", "host_down"})
_STATUS_MAY_PASS = frozenset({408, 425, 429})


class Refused(Exception):
    """A picture that was not had: one word of FETCH_PROBLEMS, and what a person who looks for the cause needs."""

    def __init__(self, problem: str, detail: str = "", *, status: int | None = None, retriable: bool | None = None):
        super().__init__(problem)
        self.problem, self.detail, self.status = problem, detail[:300], status
        self.retriable = problem in _MAY_PASS if retriable is None else retriable
        self.retry_after: float | None = None  # seconds, as the server asked
        self.settled = problem in _SETTLED  # may pass, but not in this run

    def again(self) -> "Refused":
        """A fresh one: an exception that is raised ten thousand times drags ten thousand tracebacks."""
        fresh = Refused(self.problem, self.detail, status=self.status, retriable=self.retriable)
        fresh.settled = self.settled
        return fresh


def refused_by_status(status: int) -> Refused:
    return Refused(f"http_{status}", status=status, retriable=status in _STATUS_MAY_PASS or status // 100 == 5)


def is_of_fetching(problem: str) -> bool:
    return problem in FETCH_PROBLEMS or problem.startswith("http_")
