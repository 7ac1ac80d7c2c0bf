"""A web server on loopback that misbehaves in every way the web does, and remembers every request.

    with RudeServer(picture) as server:
        server.url("/cut")                  # http://127.0.0.1:PORT/cut
        server.url("/ok", host=3)           # 127.0.0.3 is another host, on Linux
        server.robots[3] = "User-agent: *\\nDisallow: /"
        server.seen                         # one Seen a request, robots.txt among them

The first piece of the path says how it misbehaves: `_ANSWERS` has all of them. Written on raw sockets: no web framework
would do this.
"""

import asyncio
import gzip
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

HOSTS = 6
Robots = str | int  # the text, or a status
_BOMB = gzip.compress(b"\xff\xd8\xff" + b"\0" * 50_000_000)


@dataclass(frozen=True)
class Seen:
    host: int  # the last number of 127.0.0.N
    path: str
    time: float
    headers: dict[str, str]


class RudeServer:
    def __init__(self, picture: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.picture, self.tls = picture, tls
        self.robots: dict[int, Robots] = {}
        self.seen: list[Seen] = []
        self.most_at_once: Counter[int] = Counter()  # requests in flight, by host
        self.down: dict[str, int] = {}  # paths of /ok that answer with this status instead
        self._at_once: Counter[int] = Counter()
        self._requests: dict[str, int] = defaultdict(int)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: list[asyncio.Server] = []
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, path: str, host: int = 1) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.{host}:{self.port}{path}"

    def count(self, path: str) -> int:
        """The number of requests for a path, robots.txt among them, at all hosts."""
        return sum(seen.path == path for seen in self.seen)

    async def _start(self) -> None:
        for host in range(1, HOSTS + 1):
            server = await asyncio.start_server(self._serve, f"127.0.0.{host}", self.port, ssl=self.tls)
            self.port = server.sockets[0].getsockname()[1]
            self._servers.append(server)

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = int(writer.get_extra_info("sockname")[0].rpartition(".")[2])
        try:
            while line := await reader.readline():
                headers = {}
                while (header := await reader.readline()).strip():
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                target = urlsplit(line.decode().split()[1])  # of a proxy it is a whole address
                path = target.path + (f"?{target.query}" if target.query else "")
                self.seen.append(Seen(host, path, time.monotonic(), headers))
                self._at_once[host] += 1
                self.most_at_once[host] = max(self.most_at_once[host], self._at_once[host])
                try:
                    await self._answer(host, path, writer)
                finally:
                    self._at_once[host] -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass  # clients that hang up are the point of it, and so is a server that ends
        finally:
            writer.close()

    async def _answer(self, host: int, path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/robots.txt":
            robots = self.robots.get(host, 404)
            text = "" if robots == 204 else str(robots)
            await _send(writer, robots if isinstance(robots, int) else 200, text.encode())
            return
        self._requests[path] += 1
        kind, _, rest = path[1:].partition("/")
        await _ANSWERS[kind](_Request(self, path, rest, self._requests[path], writer))


@dataclass(frozen=True)
class _Request:
    server: RudeServer
    path: str
    rest: str  # of the path, behind its first piece
    number: int  # the how-manieth for this path
    writer: asyncio.StreamWriter

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send(self, status: int = 200, body: bytes | None = None, **headers: str) -> None:
        await _send(self.writer, status, self.server.picture if body is None else body, **headers)

    def hang_up(self) -> None:
        self.writer.close()


async def _send(writer: asyncio.StreamWriter, status: int, body: bytes, **headers: str) -> None:
    """`X_Robots_Tag="noai"` is the header X-Robots-Tag."""
    filled = {"Content-Type": "image/jpeg", "Content-Length": str(len(body))}
    filled |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in filled.items() if value)
    writer.write(f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body)
    await writer.drain()


async def _ok(request: _Request) -> None:
    """/ok, /ok/0.05 takes so many seconds, /ok/anything."""
    seconds = request.rest.partition("/")[0]
    await asyncio.sleep(float(seconds) if seconds.replace(".", "").isdigit() else 0)
    status = request.server.down.get(request.path, 200)
    await request.send(status, b"" if status != 200 else None)


async def _status(request: _Request) -> None:
    await request.send(int(request.rest), b"" if request.rest == "204" else b"sorry")


async def _then_ok(request: _Request) -> None:
    """/then_ok/500: once, then the picture; /then_ok/429/Retry-After."""
    status, _, wait = request.rest.partition("/")
    if request.number > 1:
        await request.send()
    else:
        await request.send(int(status), b"", Retry_After=wait.replace("%20", " "))


async def _endless(request: _Request) -> None:
    await request.raw(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + request.server.picture)
    while True:
        await request.raw(b"\0" * 65536)


async def _trickle(request: _Request) -> None:
    await request.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n\xff\xd8\xff")
    while True:
        await request.raw(b"x")
        await asyncio.sleep(0.05)


async def _slow_headers(request: _Request) -> None:
    await request.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        await request.raw(b"X: y\r\n")
        await asyncio.sleep(0.05)


async def _endless_headers(request: _Request) -> None:
    await request.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        await request.raw(b"X-Endless: yes\r\n" * 1000)


async def _cut(request: _Request) -> None:
    await request.raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request.server.picture) + request.server.picture[:400]
    )
    request.hang_up()


async def _cut_chunk(request: _Request) -> None:
    await request.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200\r\n" + request.server.picture[:100])
    request.hang_up()


async def _short_length(request: _Request) -> None:
    """Announce fewer bytes than are sent: the picture that arrives is cut."""
    await request.send(Content_Length="400")
    request.hang_up()


async def _huge_length(request: _Request) -> None:
    await request.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + request.server.picture)


async def _html(request: _Request) -> None:
    await request.send(body=b"<!doctype html><html><body>404, but politely</body></html>")


async def _wrong_type(request: _Request) -> None:
    await request.send(Content_Type="text/html")


async def _empty(request: _Request) -> None:
    await request.send(body=b"")


async def _gzip(request: _Request) -> None:
    await request.send(body=gzip.compress(request.server.picture), Content_Encoding="gzip")


async def _bomb(request: _Request) -> None:
    await request.send(body=_BOMB, Content_Encoding="gzip")


async def _brotli(request: _Request) -> None:
    await request.send(Content_Encoding="br")


async def _loop(request: _Request) -> None:
    await request.send(302, b"", Location=request.path)


async def _to(request: _Request) -> None:
    """/to/http://10.0.0.1/x.jpg redirects there, word for word."""
    await request.send(302, b"", Location=request.rest)


async def _tag(request: _Request) -> None:
    await request.send(X_Robots_Tag=request.rest.replace("%20", " "))


async def _reset(request: _Request) -> None:
    request.writer.transport.abort()


async def _garbage(request: _Request) -> None:
    await request.raw(b"\x00\x01SSH-2.0-OpenSSH_9.6\r\n" * 20)
    request.hang_up()


_ANSWERS: dict[str, Callable[[_Request], Awaitable[None]]] = {
    "ok": _ok, "status": _status, "then_ok": _then_ok, "endless": _endless, "trickle": _trickle, "cut": _cut,
    "slow_headers": _slow_headers, "endless_headers": _endless_headers, "cut_chunk": _cut_chunk,
    "short_length": _short_length, "huge_length": _huge_length, "html": _html, "wrong_type": _wrong_type,
    "empty": _empty, "gzip": _gzip, "bomb": _bomb, "brotli": _brotli, "loop": _loop, "to": _to, "tag": _tag,
    "reset": _reset, "garbage": _garbage,
}  # fmt: skip
