"""Painters in replicas of a Ray Serve deployment, on this machine or on a cluster.

    painters = Replicas(run, count=4)           # after `start_cluster`

A request is painted by one replica. When that dies, another one paints the request again from its beginning; as a
picture depends on its prompt, its seed and its number alone, it is the same. Ray starts a new replica meanwhile. The
nodes must see the run at the same path.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
import torch
from ray import serve
from ray.exceptions import RayError

from ..run.run import Run, open_run
from .decoding_pool import DecodingPool, Picture
from .painters import Leave
from .painting_thread import PaintingThread
from .slots import Order, Painting

_NAME, _ATTEMPTS, _AT_ONCE = "tuwen", 5, 256
Grown = tuple[int, list[int], float]  # number of the painting, its codes so far, their log-probability


class Painter:
    """One replica: a painting thread."""

    def __init__(self, run: str) -> None:
        self._run = open_run(Path(run))
        self._thread = PaintingThread(self._run)

    async def paint(self, orders: list[Order]) -> AsyncIterator[list[Grown]]:
        """What has grown since the last time, until all of it is done."""
        paintings = [Painting.of(self._run.layout, order) for order in orders]
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def tell(painting: Painting) -> None:
            loop.call_soon_threadsafe(news.set)

        for painting in paintings:
            self._thread.paint(painting, tell)
        try:
            while not all(painting.is_done for painting in paintings):
                await news.wait()
                news.clear()
                yield [(number, list(each.codes), each.log_p) for number, each in enumerate(paintings)]
        finally:
            for painting in paintings:
                if not painting.is_done:
                    self._thread.leave(painting)

    def check_health(self) -> None:
        if not self._thread.is_alive:
            raise RuntimeError("the painting thread has stopped")


class Replicas:
    def __init__(self, run: Run, count: int) -> None:
        serve.start(proxy_location="Disabled")  # the application is this process
        resources = {"num_cpus": 1, "num_gpus": int(torch.cuda.is_available())}
        as_deployment: Any = serve.deployment
        deployment = as_deployment(Painter).options(
            num_replicas=count, max_ongoing_requests=_AT_ONCE, ray_actor_options=resources, health_check_period_s=2,
            graceful_shutdown_timeout_s=60,
        )  # fmt: skip
        path = str(run.folder.path.resolve())
        self._handle: Any = serve.run(deployment.bind(path), name=_NAME, route_prefix=None)
        self._own, self._decoding = ThreadPoolExecutor(1, "decoding"), DecodingPool(run.image_codes)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_ready(self) -> bool:
        return bool(ray.is_initialized())

    def begin(self, paintings: Sequence[Painting], on_news: Callable[[], None]) -> Leave:
        task = asyncio.get_running_loop().create_task(self._follow(paintings, on_news))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def leave() -> None:
            task.cancel()

        return leave

    async def _follow(self, paintings: Sequence[Painting], on_news: Callable[[], None]) -> None:
        orders = [painting.order for painting in paintings]
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async for grown in self._handle.options(stream=True).paint.remote(orders):
                    for number, codes, log_p in grown:
                        paintings[number].codes[:], paintings[number].log_p = codes, log_p
                    on_news()
                return
            except RayError as error:
                again = "painting it again" if attempt < _ATTEMPTS else "giving it up"
                print(
                    f"a replica was lost with a request ({type(error).__name__}): {again}", file=sys.stderr, flush=True
                )
                await asyncio.sleep(attempt / 2)

    def decode(self, codes: list[int]) -> "Future[Picture]":
        future = self._decoding.add(codes)
        self._own.submit(self._decoding.decode_all)
        return future

    def close(self) -> None:
        self._own.shutdown()
        serve.shutdown()  # type: ignore[no-untyped-call]
