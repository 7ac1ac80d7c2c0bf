"""The proxy that the environment names (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), and what can be checked through it.

    proxy_for(url)                                   # "http://proxy:3128", or None
    await check_target(url, allowed, resolver)       # raises Refused("private_address")

Behind a proxy the connected address is the proxy's, which the operator chose. The proxy looks names up by itself, so
the final address is unknown here. A literal private address is refused, and so is a name that has one when it is looked
up here. A name whose address changes in between is for the proxy to refuse.
"""

from functools import cache
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from aiohttp.abc import AbstractResolver
from yarl import URL

from ...manifests.errors import BadInput
from .problems import Refused
from .public_addresses import Network, is_ip_address, may_connect


@cache
def proxies() -> dict[str, str]:
    """Scheme → address of its proxy. Raises BadInput on a proxy that is neither http nor https."""
    by_scheme = getproxies_environment()
    for scheme in {"http", "https"} & set(by_scheme):
        by_scheme[scheme] = by_scheme[scheme] if "://" in by_scheme[scheme] else f"http://{by_scheme[scheme]}"
        kind = by_scheme[scheme].partition("://")[0]
        if kind not in ("http", "https"):
            raise BadInput(f"{scheme}_proxy names a {kind} proxy", cure="name an http:// proxy, or unset it")
    return by_scheme


def proxy_for(url: URL) -> str | None:
    proxy = proxies().get(url.scheme)
    host = f"{url.raw_host}:{url.port}"
    return None if proxy is None or proxy_bypass_environment(host, proxies()) else proxy


async def check_target(url: URL, allowed: tuple[Network, ...], resolver: AbstractResolver) -> None:
    host = url.raw_host or ""
    try:
        resolved = [] if is_ip_address(host) else await resolver.resolve(host, url.port or 0)
        addresses = [host] if is_ip_address(host) else [result["host"] for result in resolved]
    except OSError:  # a network whose proxy alone can look names up
        return
    if not all(may_connect(address, allowed) for address in addresses):
        raise Refused("private_address", "behind a proxy")
