"""Codes → pictures, all that wait at once: the compact VQ decodes 16 pictures in the time of one.

    pool = DecodingPool(run.image_codes)
    future = pool.add(codes_N)              # on any thread
    pool.decode_all()                       # on the thread that computes; settles what has been added so far

A picture depends on its codes alone, whatever is decoded with it.
"""

import threading
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from ...tokenize.image_codes import ImageCodes

Picture = NDArray[np.uint8]  # (side, side, 3)


class DecodingPool:
    def __init__(self, image_codes: ImageCodes) -> None:
        self._image_codes = image_codes
        self._waiting: list[tuple[list[int], Future[Picture]]] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many pictures wait."""
        return len(self._waiting)

    def add(self, codes: list[int]) -> "Future[Picture]":
        future: Future[Picture] = Future()
        with self._lock:
            self._waiting.append((codes, future))
        return future

    def decode_all(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        wanted = [(codes, future) for codes, future in waiting if future.set_running_or_notify_cancel()]
        for start in range(0, len(wanted), self._image_codes.batch):
            self._decode(wanted[start : start + self._image_codes.batch])

    def _decode(self, wanted: list[tuple[list[int], "Future[Picture]"]]) -> None:
        codes = np.array([codes for codes, _ in wanted], np.int64).reshape(-1, *self._image_codes.identity.shape)
        try:
            pictures = self._image_codes.decode(codes)
        except Exception as error:
            for _, future in wanted:
                future.set_exception(error)
            return
        for picture, (_, future) in zip(pictures, wanted, strict=True):
            future.set_result(picture)
