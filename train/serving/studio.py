"""What the application hands requests to: it paints them together on one thread, and keeps some of the pictures.

    studio = Studio(run, OwnThread(run))
    job = studio.job(Asked("一只蜜蜂", n=2, best_of=4, seed=7, temperature=1.0, side=128))
    with job.painted():                         # until nobody waits for it any more
        while not await job.grown(): …          # there are codes more; `partial_pictures` decodes them
        await job.pictures()                    # the best of each, as PNGs

Picture `k` of a request is the best of the samples k·best_of … of its prompt and seed: the same whatever else is asked.
"""

import asyncio
import io
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

from PIL import Image

from ..painting.sampling import SamplingConfig
from ..run.run import Run
from .decoding_pool import Picture
from .neighbours import Neighbour, Neighbours
from .painters import Painters
from .requests import Refused
from .slots import SLOTS, Order, Painting

_KEPT_BYTES = 64 << 20  # of pictures that are asked for by their address
_NOT_PAINTED = 235  # a light grey


@dataclass(frozen=True)
class Asked:
    prompt: str
    n: int  # pictures
    best_of: int  # samples of each
    seed: int
    temperature: float
    side: int  # of a picture, in pixels
    is_shown: bool = False  # while it is painted


class Studio:
    def __init__(self, run: Run, painters: Painters, neighbours: Neighbours | None = None) -> None:
        folder = run.folder.path
        self.name = folder.name if run.is_shipped or folder.name != "train" else folder.parent.name
        self.created = int(run.folder.document.stat().st_mtime)
        self._run, self._caption_ids, self.image_codes = run, run.caption_ids, run.image_codes
        self.side_px = self.image_codes.identity.side_px
        self.painters, self.neighbours = painters, neighbours
        self.waiting = 0  # samples that are accepted and not painted yet
        self.painted = 0  # samples, in all
        self._seconds_a_sample = 0.1
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    @property
    def is_ready(self) -> bool:
        return self.painters.is_ready

    def close(self) -> None:
        self.painters.close()

    def seconds_to_wait(self, samples: int, most: int) -> int | None:
        """None when there is room for so many samples more."""
        if self.waiting + samples <= most:
            return None
        return max(1, round(self._seconds_a_sample * self.waiting / 2))

    def job(self, asked: Asked) -> "Job":
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
        return Job(self, asked, paintings)

    @contextmanager
    def painting(self, paintings: list[Painting], on_news: Callable[[], None]) -> Iterator[None]:
        """Have them painted, until the block ends."""
        began = time.monotonic()
        self.waiting += len(paintings)
        leave = self.painters.begin(paintings, on_news)
        try:
            yield
        finally:
            leave()
            self.waiting -= len(paintings)
            done = sum(painting.is_done for painting in paintings)
            self.painted += done
            if done == len(paintings):
                self._seconds_a_sample += 0.2 * ((time.monotonic() - began) / min(SLOTS, done) - self._seconds_a_sample)

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
        self._loop, self._news, self._rows_told = asyncio.get_running_loop(), asyncio.Event(), 0

    def painted(self) -> AbstractContextManager[None]:
        return self._studio.painting(self._paintings, self._tell)

    @property
    def rows(self) -> int:
        """Rows of codes of a picture; one where the codes are no grid, and each says something of all of it."""
        grid = self._studio.image_codes.identity.grid
        return grid[0] if len(grid) == 2 else 1

    def _tell(self) -> None:
        """Called on any thread when a painting has grown: news are a row more that is shown, and that all are done."""
        if not self.asked.is_shown and len(self._paintings[-1].codes) < self._num_codes:
            return
        rows = sum(len(painting.codes) * self.rows // self._num_codes for painting in self._paintings)
        if rows > self._rows_told and (self.asked.is_shown or rows == self.rows * len(self._paintings)):
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

    def nearest(self) -> list[list[Neighbour]]:
        """The training pictures next to each; of a server that knows none, nothing."""
        neighbours = self._studio.neighbours
        if neighbours is None:
            return [[] for _ in range(self.asked.n)]
        return [neighbours.of_codes(painting.codes) for painting in self._best()]

    async def pictures(self) -> list[bytes]:
        """The likeliest sample of each, as a PNG."""
        pictures = await asyncio.gather(*(self._decoded(painting.codes) for painting in self._best()))
        return await asyncio.to_thread(lambda: [png(picture, self.asked.side) for picture in pictures])

    def _best(self) -> list[Painting]:
        return [max(self._samples(number), key=lambda each: each.likelihood) for number in range(self.asked.n)]

    def painted_rows(self) -> list[int]:
        """The rows of codes that the first sample of each picture has."""
        return [len(self._samples(number)[0].codes) * self.rows // self._num_codes for number in range(self.asked.n)]

    async def partial_picture(self, number: int) -> bytes:
        """What the first sample of a picture shows so far, as a PNG; what is not painted is grey."""
        codes, rows = list(self._samples(number)[0].codes), self.painted_rows()[number]

        picture = (await self._decoded(codes + codes[-1:] * (self._num_codes - len(codes)))).copy()
        picture[rows * len(picture) // self.rows :] = _NOT_PAINTED
        return await asyncio.to_thread(png, picture, self.asked.side)

    def _samples(self, number: int) -> list[Painting]:
        return self._paintings[number * self.asked.best_of : (number + 1) * self.asked.best_of]

    def _decoded(self, codes: list[int]) -> "asyncio.Future[Picture]":
        return asyncio.wrap_future(self._studio.painters.decode(codes))


def png(picture: Picture, side: int) -> bytes:
    """The picture as a PNG, enlarged to `side` where that is larger."""
    image = Image.fromarray(picture)
    if side != image.width:
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
