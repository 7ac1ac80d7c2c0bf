"""What robots.txt says, by RFC 9309: asked for once a host, kept for a day, obeyed before anything else is asked.

    rules = RobotsRules(get, attempts=3, backoff=backoff)
    delay = await rules.check(url)        # seconds of Crawl-delay, 0 without one; raises Refused

Found: its rules for `tuwen`, else for `*`. 4xx: there is none, all is allowed. 5xx, 429 or no answer: nothing is
allowed for now (`robots_unreachable`, which may pass). More than 500 KiB of it are not read.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from protego import Protego
from yarl import URL

from .problems import Refused
from .web_address import origin_of

AGENT = "tuwen"
MAX_ROBOTS_BYTES = 500 * 1024
_KEPT_SECONDS = 24 * 3600.0
_KEPT_HOSTS = 20_000
# The picture would meet the same, and that says more than that its robots.txt met it.
_SAY_MORE = frozenset({"dns_failed", "private_address", "tls_failed", "connection_failed", "proxy_failed",
                       "bad_address", "host_down", "host_asks_to_wait"})  # fmt: skip

Get = Callable[[URL], Awaitable[bytes]]  # the body; raises Refused
Backoff = Callable[[str, int], float]

# Of the process: Ray gives one process many parts. Failures are not kept here, so that the next run asks again.
_known: OrderedDict[str, tuple[float, Protego]] = OrderedDict()


class RobotsRules:
    def __init__(self, get: Get, attempts: int, backoff: Backoff) -> None:
        self._get, self._attempts, self._backoff = get, attempts, backoff
        self._asked: dict[str, asyncio.Future[Protego | Refused]] = {}

    async def check(self, url: URL) -> float:
        origin = origin_of(url)
        if origin not in self._asked:
            self._asked[origin] = asyncio.ensure_future(self._rules(origin))
        rules = await asyncio.shield(self._asked[origin])  # one who gives up must not take it from the others
        if isinstance(rules, Refused):
            raise rules.again()
        if not rules.can_fetch(str(url), AGENT):
            raise Refused("robots_disallowed")
        return rules.crawl_delay(AGENT) or 0.0

    async def _rules(self, origin: str) -> Protego | Refused:
        kept = _known.get(origin)
        if kept and kept[0] > time.monotonic():
            return kept[1]
        try:
            rules = Protego.parse(await self._text(origin))
        except Refused as refusal:
            return refusal
        _known[origin] = time.monotonic() + _KEPT_SECONDS, rules
        while len(_known) > _KEPT_HOSTS:
            _known.popitem(last=False)
        return rules

    async def _text(self, origin: str) -> str:
        for attempt in range(1, self._attempts + 1):
            try:
                return (await self._get(URL(f"{origin}/robots.txt"))).decode("utf-8-sig", "replace")
            except Refused as refusal:
                if _is_unavailable(refusal):
                    return ""
                if attempt == self._attempts or refusal.settled or not refusal.retriable:
                    raise _refusal(refusal) from None
            await asyncio.sleep(self._backoff(origin, attempt))
        raise AssertionError("attempts is at least 1")


def _is_unavailable(refusal: Refused) -> bool:
    """There is none to be read, as RFC 9309 has it (or 204: an empty one). 429 is left out: not now, as 503 says."""
    status = refusal.status or 0
    return (status // 100 in (2, 4) and status != 429) or refusal.problem == "too_many_redirects"


def _refusal(refusal: Refused) -> Refused:
    """It was asked for as often as a picture is: whoever wants something of this host in this run need not retry."""
    if refusal.problem in _SAY_MORE:
        refused = Refused(refusal.problem, f"robots.txt: {refusal.detail}", retriable=refusal.retriable)
    else:
        refused = Refused("robots_unreachable", f"{refusal.problem}: {refusal.detail}", status=refusal.status)
    refused.settled = True
    return refused
