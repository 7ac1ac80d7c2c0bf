"""The rules of robots.txt, by RFC 9309: fetched before anything else of a host, once, and kept for a day.

    rules = RobotsRules(get, attempts=3, backoff=backoff)
    delay = await rules.check(url)        # seconds of Crawl-delay, 0 without one; raises Refused

Its rules for `tuwen` hold, else those for `*`. With 4xx there is no robots.txt, and all is allowed. With 5xx, 429 or no
answer nothing is allowed for now (`robots_unreachable`, which may pass). The first 500 KiB are read.
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
# Problems of the host, which the picture would have as well: they are reported, and not `robots_unreachable`.
_OF_THE_HOST = frozenset({"dns_failed", "private_address", "tls_failed", "connection_failed", "proxy_failed",
                       "bad_address", "host_down", "host_asks_to_wait"})  # fmt: skip

Get = Callable[[URL], Awaitable[bytes]]  # the body; raises Refused
Backoff = Callable[[str, int], float]

# One for the process, to which Ray gives many parts. Failures are not kept, so that the next run tries again.
_known: OrderedDict[str, tuple[float, Protego]] = OrderedDict()


class RobotsRules:
    def __init__(self, get: Get, attempts: int, backoff: Backoff) -> None:
        self._get, self._attempts, self._backoff = get, attempts, backoff
        self._rules_of: dict[str, asyncio.Future[Protego | Refused]] = {}

    async def check(self, url: URL) -> float:
        """Seconds of Crawl-delay. Raises Refused where a fetch is not allowed."""
        origin = origin_of(url)
        if origin not in self._rules_of:
            self._rules_of[origin] = asyncio.ensure_future(self._rules(origin))
        # Shielded: a row that is cancelled must not cancel it for the others.
        rules = await asyncio.shield(self._rules_of[origin])
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
    """Whether there is no robots.txt, by RFC 9309 (204 is an empty one). 429 means "not now", as 503 does."""
    status = refusal.status or 0
    return (status // 100 in (2, 4) and status != 429) or refusal.problem == "too_many_redirects"


def _refusal(refusal: Refused) -> Refused:
    """The refusal of every row of this host. robots.txt was retried as often as a picture: the rows need no retry."""
    if refusal.problem in _OF_THE_HOST:
        refused = Refused(refusal.problem, f"robots.txt: {refusal.detail}", retriable=refusal.retriable)
    else:
        refused = Refused("robots_unreachable", f"{refusal.problem}: {refusal.detail}", status=refusal.status)
    refused.settled = True
    return refused
