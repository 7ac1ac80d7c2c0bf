"""The headers of an answer that say to wait (Retry-After), or that forbid this use (X-Robots-Tag).

retry_after("120", now)                           # 120.0 seconds; an HTTP date is read, too
forbids(["noai", "otherbot: noindex"])            # "noai": the word that forbids
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from .robots_rules import AGENT

_FORBIDDING = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from `now`, never negative; None without a header that can be understood."""
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds())


def forbids(values: Iterable[str]) -> str | None:
    """The first word that forbids this use; None when none does.

    In `otherbot: noindex, nofollow` the name is that of a crawler, and all that follows it is for that crawler.
    """
    for value in values:
        agent = "*"
        for piece in value.split(","):
            name, colon, rest = piece.strip().lower().partition(":")
            if colon and name not in _WITH_VALUE:
                agent, name = name.strip(), rest.strip()
            if name in _FORBIDDING and agent in ("*", AGENT):
                return name
    return None
