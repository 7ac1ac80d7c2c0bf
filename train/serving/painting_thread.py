"""The thread that owns the model and paints: it takes paintings at any time, and tells of every code.

    thread = PaintingThread(run)
    thread.paint(painting, on_code=lambda painting: …)      # called by the thread after each code
    thread.leave(painting)                                  # nobody wants it any more
    thread.decode(codes)                                    # a future of the picture
    thread.close()                                          # finishes what is begun

Paintings wait in the order in which they came until a slot is free. Codes to be decoded wait for others, a few steps at
most: one thread paints and decodes, because two that compute at once would take turns and both be slower.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue

import torch

from ..run.run import Run
from .decoding_pool import DecodingPool, Picture
from .slots import Painting, Slots

# A call of the decoder costs as much as four steps, whether for one picture or for 16: at every eighth step it took a
# third of the time of a server that is full.
DECODE_AFTER_STEPS, DECODE_AT_ONCE = 20, 8
OnCode = Callable[[Painting], None]


class PaintingThread:
    def __init__(self, run: Run) -> None:
        # For the thread that makes this one. Where two threads have helpers, OpenMP counts more threads than CPUs, and
        # its barriers sleep instead of spinning: a step took 10 ms and not 7 (two cores).
        torch.set_num_threads(1)
        self._slots = Slots(run.load_model(), run.layout, run.document.precision)
        self._threads = run.document.threads
        self._handed: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._waiting: deque[Painting] = deque()
        self._on_code: dict[int, OnCode] = {}  # by the id of the painting
        self._closes = False
        self._decoding, self._steps_waited = DecodingPool(run.image_codes), 0
        self._thread = threading.Thread(target=self._work, name="painting", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def paint(self, painting: Painting, on_code: OnCode) -> None:
        def begin() -> None:
            self._on_code[id(painting)] = on_code
            self._waiting.append(painting)

        self._handed.put(begin)

    def leave(self, painting: Painting) -> None:
        def end() -> None:
            if self._on_code.pop(id(painting), None) is not None:
                self._slots.leave(painting)
                self._waiting = deque(each for each in self._waiting if each is not painting)

        self._handed.put(end)

    def decode(self, codes: list[int]) -> "Future[Picture]":
        future = self._decoding.add(codes)
        self._handed.put(lambda: None)  # wakes the thread
        return future

    def close(self) -> None:
        """Wait until all that was handed in is painted."""

        def stop() -> None:
            self._closes = True

        self._handed.put(stop)
        self._thread.join()

    def _work(self) -> None:
        torch.set_num_threads(self._threads)
        with self._slots.open():
            self._paint_all()

    def _paint_all(self) -> None:
        while not (self._closes and not self._waiting and not self._slots.painted):
            while not self._handed.empty() or not self._has_work:
                self._handed.get()()
            while self._waiting and self._slots.free:
                self._slots.begin(self._waiting.popleft())
            if self._slots.painted:
                self._step()
            self._decode_if_due()
        self._decode()

    @property
    def _has_work(self) -> bool:
        return bool(self._waiting or self._slots.painted or self._closes or self._decoding)

    def _step(self) -> None:
        for painting in self._slots.step():
            tell = self._on_code.pop if painting.is_done else self._on_code.get
            on_code = tell(id(painting), None)
            if on_code is not None:
                on_code(painting)

    def _decode_if_due(self) -> None:
        self._steps_waited = self._steps_waited + 1 if self._decoding else 0
        is_due = self._steps_waited >= DECODE_AFTER_STEPS or len(self._decoding) >= DECODE_AT_ONCE
        if is_due or not (self._slots.painted or self._waiting):
            self._decode()

    def _decode(self) -> None:
        self._steps_waited = 0
        with self._slots.closed():
            self._decoding.decode_all()
