"""What the headers of an answer ask of us: to wait, or to keep away.

retry_after("120", now)                           # 120.0 seconds; also of an HTTP date
forbids(["noai", "otherbot: noindex"])            # "noai": which of its X-Robots-Tag forbids this use
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from .robots_rules import AGENT

_FORBIDDING = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from `now`, never negative; None when there is nothing that can be understood."""
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
    """A name with a colon, `otherbot: noindex, nofollow`, holds for what follows it in the same header."""
    for value in values:
        agent = "*"
        for piece in value.split(","):
            name, colon, rest = piece.strip().lower().partition(":")
            if colon and name not in _WITH_VALUE:
                agent, name = name.strip(), rest.strip()
            if name in _FORBIDDING and agent in ("*", AGENT):
                return name
    return None
