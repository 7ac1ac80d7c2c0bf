"""One address → its picture in a file, or the problem; politely, and with every step bounded.

    async with PoliteClient(Politeness(…)) as client:
        answer = await client.fetch("https://example.com/a.jpg", file)     # with retries of what may pass
        answer.problem, answer.bytes, answer.sha256                        # "" when the picture is in `file`

Every hop of a redirect passes the same checks: the host's turn, its robots.txt, the connected address, what is left of
the deadline. No cookies, no credentials; TLS is verified; headers and body are bounded.
"""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any, Self, TypedDict

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from ..sources.picture_format import picture_ending
from ..sources.source import PICTURES
from .answer_body import read_body, read_start
from .answer_headers import forbids, retry_after
from .host_pace import HostPace, Paces
from .http_failures import as_refusal
from .problems import Refused, refused_by_status
from .proxy import check_target, proxy_for
from .public_addresses import checked_sockets, networks
from .robots_rules import MAX_ROBOTS_BYTES, RobotsRules
from .web_address import next_address, web_address

_MAX_REDIRECTS = 5
_CONNECT_SECONDS = 15.0
_LOOKUPS = 64  # names looked up at a time; asyncio's own number is the CPUs and four
_KEEPALIVE_SECONDS = 3.0  # thousands of hosts: idle connections are open files
_FIRST_PAUSE_SECONDS = 1.0
_STRIKES = frozenset({"timed_out", "connection_failed", "cut_body", "dns_failed", "bad_answer"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Take = Callable[[aiohttp.ClientResponse], Awaitable[None]]


class Pace(TypedDict):
    """How fast one task may fetch: its share in the limits of the whole run."""

    user_agent: str
    in_flight: int
    per_host_in_flight: int
    per_host_per_second: float
    tasks: int
    deadline_seconds: float
    attempts: int


@dataclass(frozen=True)
class Politeness:
    """`Pace` and `Rules` of one task."""

    user_agent: str
    in_flight: int
    per_host_in_flight: int
    per_host_per_second: float
    tasks: int
    deadline_seconds: float
    max_bytes: int
    attempts: int
    robots: str
    robots_tag: str
    allow_addresses: list[str]


@dataclass
class Answer:
    problem: str = ""
    retriable: bool = False
    status: int | None = None
    detail: str = ""
    ending: str = ""
    bytes: int = 0
    sha256: str = ""
    final_url: str = ""
    attempts: int = 0
    seconds: float = 0.0  # of all attempts, without the pauses between them


class PoliteClient:
    def __init__(self, politeness: Politeness, resolver: AbstractResolver | None = None) -> None:
        self._politeness = politeness
        self._allowed = networks(politeness.allow_addresses)
        self._resolver = resolver

    async def __aenter__(self) -> Self:
        politeness = self._politeness
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_LOOKUPS))
        self._resolver = self._resolver or aiohttp.ThreadedResolver()
        self._paces = Paces(politeness.per_host_per_second, politeness.per_host_in_flight, politeness.in_flight)
        self._robots = RobotsRules(self._robots_text, politeness.attempts, _backoff)
        self._direct = self._session(checked_sockets(politeness.allow_addresses))
        self._proxied = self._session(None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._direct.close()
        await self._proxied.close()

    async def fetch(self, address: str, file: IO[bytes]) -> Answer:
        """Write the picture into `file`. Whatever the web does is an Answer, and no exception."""
        answer = Answer()
        while True:
            answer.attempts += 1
            try:
                await self._attempt(address, file, answer)
                answer.problem, answer.retriable, answer.detail = "", False, ""
                return answer
            except Exception as error:  # an unforeseen one must not cost the other rows; the ledger names it
                refusal = as_refusal(error)
                if answer.problem and refusal.settled:
                    return answer  # the earlier problem tells more than that there was no retry
                answer.problem, answer.retriable = refusal.problem, refusal.retriable
                answer.status, answer.detail = refusal.status, refusal.detail
                if not refusal.retriable or refusal.settled or answer.attempts >= self._politeness.attempts:
                    return answer
            await asyncio.sleep(_backoff(address, answer.attempts))

    async def _attempt(self, address: str, file: IO[bytes], answer: Answer) -> None:
        async def take(response: aiohttp.ClientResponse) -> None:
            await read_body(response, file, self._politeness.max_bytes, look)

        def look(head: bytes) -> None:
            answer.ending = _ending(head)

        _empty(file)
        url = web_address(address)
        answer.final_url, answer.status = str(await self._follow(url, take, answer)), 200
        answer.bytes = file.tell()
        file.seek(0)
        answer.sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    async def _robots_text(self, url: URL) -> bytes:
        file = io.BytesIO()

        async def take(response: aiohttp.ClientResponse) -> None:
            _empty(file)
            await read_start(response, file, MAX_ROBOTS_BYTES)

        await self._follow(url, take, None)
        return file.getvalue()

    async def _follow(self, url: URL, take: Take, answer: Answer | None) -> URL:
        """Follow redirects; return the final URL. `answer` is None for a robots.txt, which no robots.txt forbids."""
        left = self._politeness.deadline_seconds
        for _ in range(_MAX_REDIRECTS + 1):
            if answer and self._politeness.robots == "obey":
                delay = await self._robots.check(url)
                self._paces.of(_host(url)).crawl_delay(delay * self._politeness.tasks)
            async with self._paces.turn(_host(url)) as pace:
                began = _now()
                try:
                    location = await self._request_once(url, pace, left, take, tagged=answer is not None)
                finally:
                    left -= _now() - began
                    if answer:
                        answer.seconds += _now() - began
            if location is None:
                return url
            url = next_address(url, location)
        raise Refused("too_many_redirects", str(url))

    async def _request_once(self, url: URL, pace: HostPace, seconds: float, take: Take, tagged: bool) -> str | None:
        """Send one request. Returns the target of a redirect, or None when `take` has taken the body."""
        try:
            async with asyncio.timeout(seconds), self._request(url) as response:
                location = await self._read(response, take, tagged)
        except Exception as error:
            refusal = as_refusal(error)
            if refusal.status in (429, 503):
                pace.pause(refusal.retry_after or _backoff(str(url), 1))
            elif refusal.problem in _STRIKES:
                pace.failed(refusal)
            else:
                pace.answered()
            raise refusal from None
        pace.answered()
        return location

    async def _read(self, response: aiohttp.ClientResponse, take: Take, tagged: bool) -> str | None:
        if tagged and self._politeness.robots_tag == "obey":
            word = forbids(response.headers.getall("X-Robots-Tag", []))
            if word:
                raise Refused("robots_tag", word, status=response.status)
        if response.status in _REDIRECTS and "Location" in response.headers:
            return response.headers["Location"]
        if response.status != 200:
            refusal = refused_by_status(response.status)
            refusal.retry_after = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
            raise refusal
        await take(response)
        return None

    @asynccontextmanager
    async def _request(self, url: URL) -> AsyncIterator[aiohttp.ClientResponse]:
        proxy = proxy_for(url)
        if proxy:
            assert self._resolver is not None
            await check_target(url, self._allowed, self._resolver)
        session = self._proxied if proxy else self._direct
        try:
            async with session.get(url, proxy=proxy, allow_redirects=False) as response:
                yield response
        except aiohttp.ClientConnectorDNSError as error:
            if proxy:  # whose own name it then is
                raise Refused("proxy_failed", str(error)) from None
            raise

    def _session(self, socket_factory: Any) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,  # Paces has the limits
            resolver=self._resolver,
            socket_factory=socket_factory,
            keepalive_timeout=_KEEPALIVE_SECONDS,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            headers={
                "User-Agent": self._politeness.user_agent,
                "Accept": "image/*, */*;q=0.1",
                "Accept-Encoding": "identity",
            },
        )


def _ending(head: bytes) -> str:
    if not head:
        raise Refused("empty_body")
    ending = picture_ending(head)
    if ending is None:
        raise Refused("not_a_picture", head[:40].decode("latin-1"))
    if ending not in PICTURES:
        raise Refused("unsupported_format", ending)
    return ending


def _backoff(what: str, attempt: int) -> float:
    """Seconds before a retry: 1, 2, 4, …, each times 0.5 to 1.5. A hash gives the jitter: it is not random."""
    jitter = int.from_bytes(
        hashlib.blake2b(f"{what} {attempt}".encode("utf-8", "replace"), digest_size=2).digest(), "big"
    )
    return float(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * (0.5 + jitter / 65536))


def _empty(file: IO[bytes]) -> None:
    file.seek(0)
    file.truncate()


def _host(url: URL) -> str:
    return (url.raw_host or "").rstrip(".")  # `example.com.` is the same host


def _now() -> float:
    return asyncio.get_running_loop().time()
