"""The application: OpenAI's picture API, the page, and what a supervisor asks.

    app = new_app(Studio(run, OwnThread(run)), Limits())         # for uvicorn

* `POST /v1/images/generations` answers as OpenAI's clients expect; with `stream: true` by server-sent events, one for
  each row of codes. `seed` makes a request repeatable, and is told where it was not given.
* `GET /v1/models`, `/v1/pictures/ID.png`, `/v1/training/KEY`, `/healthz`, `/readyz`, `/metrics` and `/`, the page.

No prompt is logged, and none is ever a path or HTML.
"""

import base64
import json
import secrets
import time
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from .guard import Guard
from .metrics import Metrics
from .requests import ErrorDocument, ImagesRequest, Limits, Refused, checked_prompt, checked_side
from .studio import Asked, Job, Studio, png

_STATIC = Path(__file__).parent / "static"
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorDocument} for status in (400, 404, 405, 413, 422, 429, 503, 504)
}


def new_app(studio: Studio, limits: Limits) -> Guard:
    app = FastAPI(title="Tuwen", version=metadata.version("tuwen"), docs_url=None, redoc_url=None, responses=_REFUSALS)
    numbers = Metrics(studio)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
        return JSONResponse(error.document().model_dump(), error.status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"][1:]) or None
        return JSONResponse(Refused(400, f"{param or 'body'}: {first['msg']}", param).document().model_dump(), 400)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        return JSONResponse(
            Refused(error.status_code, str(error.detail)).document().model_dump(), error.status_code, error.headers
        )

    @app.post("/v1/images/generations", responses={200: {"content": {"text/event-stream": {}}}})
    async def generate(asked: ImagesRequest, request: Request) -> Response:
        with numbers.timed():
            prompt, side = checked_prompt(asked.prompt, limits), checked_side(asked.size, studio.side_px)
            if asked.model not in (None, studio.name):
                raise Refused(404, f"there is no model {asked.model!r} here, only {studio.name!r}", "model")
            if asked.n > limits.pictures:
                raise Refused(400, f"at most {limits.pictures} pictures a request", "n")
            best_of = min(asked.best_of, limits.best_of)
            wait = studio.seconds_to_wait(asked.n * best_of, limits.waiting)
            if wait is not None:
                raise Refused(429, "as many pictures wait as there is room for", retry_after=wait)
            seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
            job = studio.job(Asked(prompt, asked.n, best_of, seed, asked.temperature, side, bool(asked.stream)))
            if asked.stream:
                events = _events(job, asked.partial_images, limits.seconds, request)
                return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
            with job.painted():
                await _painted_or_gone(job, request, limits.seconds)
            data: list[dict[str, Any]] = []
            for picture, nearest in zip(await job.pictures(), job.nearest(), strict=True):
                if asked.response_format == "url":
                    answer = {"url": str(request.url_for("picture", name=studio.keep(picture)))}
                else:
                    answer = {"b64_json": base64.b64encode(picture).decode()}
                data.append({**answer, "nearest": nearest} if nearest else answer)
            return JSONResponse({"created": int(time.time()), "data": data, "seed": seed, "model": studio.name})

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        model = {"id": studio.name, "object": "model", "created": studio.created, "owned_by": "tuwen"}
        return {"object": "list", "data": [model]}

    @app.get("/v1/pictures/{name}", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    async def picture(name: str) -> Response:
        data = studio.kept(name)
        if data is None:
            raise Refused(404, "no such picture, or no more: ask again with its seed")
        return Response(data, media_type="image/png", headers={"cache-control": "private, max-age=3600"})

    @app.get("/v1/training/{key}", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    async def training(key: str) -> Response:
        found = studio.neighbours.picture(key, studio.image_codes) if studio.neighbours else None
        if found is None:
            raise Refused(404, "no training picture of that key is known here")
        return Response(png(found, studio.side_px), media_type="image/png", headers={"cache-control": "max-age=86400"})

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthy() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/readyz", response_class=PlainTextResponse, responses={503: {"content": {"text/plain": {}}}})
    async def ready() -> PlainTextResponse:
        return PlainTextResponse("ok") if studio.is_ready else PlainTextResponse("the painter has stopped", 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(generate_latest(numbers.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "page.html")

    @app.get("/page.js", include_in_schema=False)
    async def script() -> FileResponse:
        return FileResponse(_STATIC / "page.js", media_type="text/javascript")

    return Guard(app, limits)


async def _painted_or_gone(job: Job, request: Request, seconds: float) -> None:
    """Wait until all is painted. Raises Refused after `seconds`, and when nobody waits for it any more."""
    end = time.monotonic() + seconds
    while not await job.grown():
        if await request.is_disconnected():
            raise Refused(499, "the client went away")
        if time.monotonic() > end:
            raise Refused(504, f"not painted within {seconds:g} seconds")


async def _events(job: Job, partial_images: int | None, seconds: float, request: Request) -> AsyncIterator[bytes]:
    """OpenAI's events, each with the number of the picture that it is of: `partial_images` of each, or all its rows."""
    shown, told = [0] * job.asked.n, [0] * job.asked.n  # rows and events of each picture
    end = time.monotonic() + seconds
    with job.painted():  # here, and not before: a stream that nobody begins to read is never painted
        while not await job.grown():
            if await request.is_disconnected():
                return
            if time.monotonic() > end:
                yield _event("error", Refused(504, f"not painted within {seconds:g} seconds").document().model_dump())
                return
            for number, rows in enumerate(job.painted_rows()):
                if rows > shown[number] and (partial_images is None or told[number] < partial_images):
                    answer = _answer(job, number, await job.partial_picture(number))
                    yield _event("image_generation.partial_image", answer | {"partial_image_index": told[number]})
                    shown[number], told[number] = rows, told[number] + 1
    for number, (picture, nearest) in enumerate(zip(await job.pictures(), job.nearest(), strict=True)):
        yield _event("image_generation.completed", _answer(job, number, picture) | {"nearest": nearest})


def _answer(job: Job, number: int, picture: bytes) -> dict[str, Any]:
    side = job.asked.side
    return {
        "b64_json": base64.b64encode(picture).decode(), "created_at": int(time.time()), "index": number,
        "seed": job.asked.seed, "size": f"{side}x{side}", "output_format": "png", "background": "opaque",
        "quality": "auto",
    }  # fmt: skip


def _event(kind: str, document: dict[str, Any]) -> bytes:
    text = json.dumps({"type": kind, **document}, ensure_ascii=False)
    return f"event: {kind}\ndata: {text}\n\n".encode()
