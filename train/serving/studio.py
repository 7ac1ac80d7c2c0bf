"""What the application hands requests to: it paints them together on one thread, and keeps some of the pictures.

    studio = Studio(run, OwnThread(run))
    job = studio.begin(Asked("一只蜜蜂", n=2, best_of=4, seed=7, temperature=1.0, side=128))
    while not await job.grown(): …              # there are codes more; `partial_pictures` decodes them
    job.pictures()                              # the best of each: uint8 (side, side, 3)
    job.leave()                                 # also when nobody waits for it any more

Picture `k` of a request is the best of the samples k·best_of … of its prompt and seed: the same whatever else is asked.
"""

import asyncio
import io
import secrets
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..painting.sampling import SamplingConfig
from ..run.run import Run
from .neighbours import Neighbours
from .painters import Leave, Painters
from .requests import Refused
from .slots import SLOTS, Order, Painting

_KEPT_BYTES = 64 << 20  # of pictures that are asked for by their address
_NOT_PAINTED = 235  # a light grey
Picture = NDArray[np.uint8]  # (side, side, 3)


@dataclass(frozen=True)
class Asked:
    prompt: str
    n: int  # pictures
    best_of: int  # samples of each
    seed: int
    temperature: float
    side: int  # of a picture, in pixels


class Studio:
    def __init__(self, run: Run, painters: Painters, neighbours: Neighbours | None = None) -> None:
        folder = run.folder.path
        self.name = folder.name if run.is_shipped or folder.name != "train" else folder.parent.name
        self.created = int(run.folder.document.stat().st_mtime)
        self._run, self._caption_ids, self.image_codes = run, run.caption_ids, run.image_codes
        self.side_px = self.image_codes.identity.side_px
        self._painters, self.neighbours = painters, neighbours
        self.waiting = 0  # samples that are accepted and not painted yet
        self.painted = 0  # samples, in all
        self._seconds_a_sample = 0.1
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    @property
    def is_ready(self) -> bool:
        return self._painters.is_ready

    def close(self) -> None:
        self._painters.close()

    def seconds_to_wait(self, samples: int, most: int) -> int | None:
        """None when there is room for so many samples more."""
        if self.waiting + samples <= most:
            return None
        return max(1, round(self._seconds_a_sample * self.waiting / 2))

    def begin(self, asked: Asked) -> "Job":
        """Raises Refused for a prompt of which the run knows nothing."""
        text = self._caption_ids.encode(asked.prompt)
        if not text:
            raise Refused(400, "the prompt says nothing that this run knows", "prompt")
        layout = self._run.layout
        config = SamplingConfig(
            num_codes=layout.num_codes, codebook_size=layout.codebook, codebooks=layout.codebooks,
            temperature=asked.temperature, precision=self._run.document.precision,
        )  # fmt: skip
        numbers = range(asked.n * asked.best_of)
        paintings = [Painting.of(layout, Order(tuple(text), asked.seed, number, config)) for number in numbers]
        job = Job(self, asked, paintings)
        self.waiting += len(paintings)
        job.leaves = self._painters.begin(paintings, job.tell)
        return job

    def end(self, paintings: list[Painting], seconds: float) -> None:
        self.waiting -= len(paintings)
        done = sum(painting.is_done for painting in paintings)
        self.painted += done
        if done == len(paintings):
            self._seconds_a_sample += 0.2 * (seconds / min(SLOTS, done) - self._seconds_a_sample)

    def keep(self, data: bytes) -> str:
        """The name by which the picture can be had for a while."""
        name = f"{secrets.token_urlsafe(16)}.png"
        self._kept[name] = data
        while sum(map(len, self._kept.values())) > _KEPT_BYTES:
            self._kept.popitem(last=False)
        return name

    def kept(self, name: str) -> bytes | None:
        return self._kept.get(name)


class Job:
    """The pictures of one request."""

    def __init__(self, studio: Studio, asked: Asked, paintings: list[Painting]) -> None:
        self.asked = asked
        self._studio, self._paintings = studio, paintings
        self._loop, self._news, self._began = asyncio.get_running_loop(), asyncio.Event(), time.monotonic()
        self._is_left, self._rows_told = False, 0
        self.leaves: Leave = _nothing  # how the painters are told that nobody waits any more

    @property
    def rows(self) -> int:
        """Rows of codes of a picture; one where the codes are no grid, and each says something of all of it."""
        grid = self._studio.image_codes.identity.grid
        return grid[0] if len(grid) == 2 else 1

    def tell(self) -> None:
        """Called on any thread when a painting has grown; there is news when any has a row more."""
        rows = sum(len(painting.codes) * self.rows // self._num_codes for painting in self._paintings)
        if rows > self._rows_told:
            self._rows_told = rows
            self._loop.call_soon_threadsafe(self._news.set)

    @property
    def _num_codes(self) -> int:
        return self._paintings[0].order.config.num_codes

    async def grown(self) -> bool:
        """Wait for codes, half a second at most; whether all is painted."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout=0.5)
        self._news.clear()
        return all(painting.is_done for painting in self._paintings)

    def nearest(self) -> list[list[dict[str, Any]]]:
        """The training pictures next to each; of a server that knows none, nothing."""
        neighbours = self._studio.neighbours
        if neighbours is None:
            return [[] for _ in range(self.asked.n)]
        return [[each.document() for each in neighbours.of_codes(painting.codes)] for painting in self._best()]

    def pictures(self) -> list[Picture]:
        """The likeliest sample of each."""
        return [self._decoded(painting.codes) for painting in self._best()]

    def _best(self) -> list[Painting]:
        return [max(self._samples(number), key=lambda each: each.likelihood) for number in range(self.asked.n)]

    def partial_pictures(self) -> dict[int, tuple[int, Picture]]:
        """By the number of the picture: the rows that its first sample has, and what they show, the others grey."""
        pictures: dict[int, tuple[int, Picture]] = {}
        for number in range(self.asked.n):
            codes, all_codes = list(self._samples(number)[0].codes), self._num_codes
            rows = len(codes) * self.rows // all_codes
            if rows:
                picture = self._decoded(codes + codes[-1:] * (all_codes - len(codes))).copy()
                picture[rows * len(picture) // self.rows :] = _NOT_PAINTED
                pictures[number] = rows, picture
        return pictures

    def leave(self) -> None:
        if not self._is_left:
            self._is_left = True
            self.leaves()
            self._studio.end(self._paintings, time.monotonic() - self._began)

    def _samples(self, number: int) -> list[Painting]:
        return self._paintings[number * self.asked.best_of : (number + 1) * self.asked.best_of]

    def _decoded(self, codes: list[int]) -> Picture:
        image_codes = self._studio.image_codes
        picture: Picture = image_codes.decode(np.array(codes, np.int64).reshape(1, *image_codes.identity.shape))[0]
        return picture


def _nothing() -> None:
    pass


def png(picture: Picture, side: int) -> bytes:
    """The picture as a PNG, enlarged to `side` where that is larger."""
    image = Image.fromarray(picture)
    if side != image.width:
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
