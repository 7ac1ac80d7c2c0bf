"""Who paints the samples of a request: a thread of this process, or a replica somewhere on a Ray cluster.

leave = painters.begin(paintings, on_news)      # `paintings` grow; `on_news` is called when they have
leave()                                         # nobody wants them any more
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from ..run.run import Run
from .decoding_pool import Picture
from .painting_thread import PaintingThread
from .slots import Painting

Leave = Callable[[], None]


class Painters(Protocol):
    @property
    def is_ready(self) -> bool: ...

    def begin(self, paintings: Sequence[Painting], on_news: Callable[[], None]) -> Leave:
        """To be called on the event loop; `on_news` is called on any thread."""
        ...

    def decode(self, codes: list[int]) -> "Future[Picture]": ...

    def close(self) -> None:
        """Finish what is begun."""
        ...


class OwnThread:
    """One painting thread in this process."""

    def __init__(self, run: Run) -> None:
        self._thread = PaintingThread(run)

    @property
    def is_ready(self) -> bool:
        return self._thread.is_alive

    def begin(self, paintings: Sequence[Painting], on_news: Callable[[], None]) -> Leave:
        for painting in paintings:
            self._thread.paint(painting, lambda _: on_news())

        def leave() -> None:
            for painting in paintings:
                if not painting.is_done:
                    self._thread.leave(painting)

        return leave

    def decode(self, codes: list[int]) -> "Future[Picture]":
        return self._thread.decode(codes)

    def close(self) -> None:
        self._thread.close()
