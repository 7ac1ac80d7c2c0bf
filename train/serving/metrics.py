"""What Prometheus reads: requests and how long they took, samples that were painted, samples that wait.

with metrics.timed():
    ...
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .requests import Refused
from .studio import Studio

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    def __init__(self, studio: Studio) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("tuwen_requests", "Requests for pictures", ["status"], registry=self.registry)
        self._seconds = Histogram(
            "tuwen_request_seconds", "Until a request was answered, or its stream began", buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        waiting = Gauge("tuwen_waiting_samples", "Samples that are not painted yet", registry=self.registry)
        waiting.set_function(lambda: studio.waiting)
        painted = Gauge("tuwen_painted_samples", "Samples that were painted, in all", registry=self.registry)
        painted.set_function(lambda: studio.painted)

    @contextmanager
    def timed(self) -> Iterator[None]:
        began, status = perf_counter(), 500
        try:
            yield
            status = 200
        except Refused as refused:
            status = refused.status
            raise
        finally:
            self._requests.labels(str(status)).inc()
            self._seconds.observe(perf_counter() - began)
