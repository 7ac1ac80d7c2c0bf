"""The text of an address in a list → a URL that can be requested; and the target of a redirect.

    web_address("http://例子.测试/中文 图.jpg")          # http://xn--fsqu00a.xn--0zwm56d/%E4%B8%AD%E6%96%87%20%E5%9B%BE.jpg
    next_address(url, "../b.jpg")

What is already percent-encoded stays as it is, byte for byte: a signed address would break. User name and password in
an address are dropped.
"""

import string
from urllib.parse import quote, urljoin, urlsplit

from yarl import URL

from .problems import Refused

_MAX_LENGTH = 8000
_KEPT = string.ascii_letters + string.digits + string.punctuation.replace("#", "")


def web_address(text: str) -> URL:
    """Raises Refused (`bad_address`) on what is no http or https address."""
    try:
        split = urlsplit(text.strip())
        if split.scheme not in ("http", "https") or not split.hostname or len(text) > _MAX_LENGTH:
            raise ValueError("not an http or https address")
        host = URL.build(scheme="http", host=split.hostname).raw_host or ""  # IDNA, lower case
        return URL.build(
            scheme=split.scheme,
            host=f"[{host}]" if ":" in host else host,  # with `encoded`, yarl leaves the brackets to us
            port=split.port,
            path=_quoted(split.path) or "/",
            query_string=_quoted(split.query),
            encoded=True,
        )
    except (ValueError, TypeError) as error:  # UnicodeError (IDNA) is a ValueError
        raise Refused("bad_address", str(error)) from None


def next_address(url: URL, location: str) -> URL:
    """Where `Location` points, relative to `url`. Raises Refused (`bad_redirect`)."""
    try:
        return web_address(urljoin(str(url), location.strip()))
    except (Refused, ValueError):
        raise Refused("bad_redirect", location) from None


def origin_of(url: URL) -> str:
    """`http://example.com:8080`, for which a robots.txt holds."""
    return str(url.origin())


def _quoted(text: str) -> str:
    """Percent-encode. Bytes of a header that are not UTF-8 (GBK is common) come as surrogates and keep their value."""
    return quote(text.encode("utf-8", "surrogateescape"), safe=_KEPT)
