"""Around the whole application: how much of a body is read, how often an address may ask, and what a page may load.

    app = Guard(app, limits)        # ASGI

A body that is too large is refused before it is in memory, and one that comes too slowly is not waited for. Refusals
come before anything is painted.
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .requests import Limits, Refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_LIMITED = "/v1/images/"
_MOST_ADDRESSES = 10_000  # that are remembered; older ones may ask again


class Guard:
    def __init__(self, app: App, limits: Limits) -> None:
        self._app, self._limits = app, limits
        self._tokens: dict[str, tuple[float, float]] = {}  # of an address: requests that it may make, and since when
        self._at_once: defaultdict[str, int] = defaultdict(int)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []), *((name.encode(), value.encode()) for name, value in HEADERS.items())
                ]  # fmt: skip
            await send(message)

        address = (scope.get("client") or ("", 0))[0]
        is_limited = scope["path"].startswith(_LIMITED)
        try:
            if is_limited:
                self._admit(address)
        except Refused as refused:
            await refuse(refused, send_with_headers)
            return
        self._at_once[address] += is_limited
        try:
            await self._handed_on(scope, receive, send_with_headers)
        finally:
            self._at_once[address] -= is_limited
            if not self._at_once[address]:
                del self._at_once[address]

    async def _handed_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._body(receive)
        except Refused as refused:
            await refuse(refused, send)
            return
        if body is None:  # the client went away
            return
        handed = False

        async def receive_body() -> MutableMapping[str, Any]:
            nonlocal handed
            if handed:
                return await receive()
            handed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_body, send)

    def _admit(self, address: str) -> None:
        """A bucket of `rate` requests for each address, which fills up in a minute."""
        limits, now = self._limits, time.monotonic()
        if self._at_once.get(address, 0) >= limits.at_once:
            raise Refused(429, f"{limits.at_once} requests of this address are being painted", retry_after=1)
        tokens, since = self._tokens.pop(address, (float(limits.rate), now))
        tokens = min(float(limits.rate), tokens + (now - since) * limits.rate / 60)
        self._tokens[address] = (max(0.0, tokens - 1), now)
        while len(self._tokens) > _MOST_ADDRESSES:
            del self._tokens[next(iter(self._tokens))]
        if tokens < 1:
            wait = max(1, round((1 - tokens) * 60 / limits.rate))
            raise Refused(429, f"this address asks more than {limits.rate} times a minute", retry_after=wait)

    async def _body(self, receive: Receive) -> bytes | None:
        most, body = self._limits.body_bytes, bytearray()
        end = time.monotonic() + self._limits.body_seconds
        while True:
            try:
                message = await asyncio.wait_for(receive(), timeout=max(0.0, end - time.monotonic()))
            except TimeoutError:
                raise Refused(408, f"the body did not come within {self._limits.body_seconds:g} seconds") from None
            if message["type"] == "http.disconnect":
                return None
            body += bytes(message.get("body", b""))
            if len(body) > most:
                raise Refused(413, f"the body has more than {most:,} bytes")
            if not message.get("more_body"):
                return bytes(body)


async def refuse(refused: Refused, send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    if refused.retry_after is not None:
        headers.append((b"retry-after", str(refused.retry_after).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    body = json.dumps(refused.document().model_dump(), ensure_ascii=False).encode()
    await send({"type": "http.response.body", "body": body})
