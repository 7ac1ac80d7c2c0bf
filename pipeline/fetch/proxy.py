"""The proxy that the environment names (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), and what can be checked through it.

    proxy_for(url)                                   # "http://proxy:3128", or None
    await check_target(url, allowed, resolver)       # raises Refused("private_address")

Behind a proxy the connected address is the proxy's, which the operator chose. It looks names up by itself, so nobody
here can tell where a name leads in the end: a literal address, and a name that leads to a private one when it is looked
up here, are refused; the rest (a name that changes in between) is for the proxy to refuse.
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
    """Raises BadInput on a proxy of another kind than http or https."""
    found = getproxies_environment()
    for scheme in {"http", "https"} & set(found):
        found[scheme] = found[scheme] if "://" in found[scheme] else f"http://{found[scheme]}"
        kind = found[scheme].partition("://")[0]
        if kind not in ("http", "https"):
            raise BadInput(f"{scheme}_proxy names a {kind} proxy", cure="name an http:// proxy, or unset it")
    return found


def proxy_for(url: URL) -> str | None:
    proxy = proxies().get(url.scheme)
    host = f"{url.raw_host}:{url.port}"
    return None if proxy is None or proxy_bypass_environment(host, proxies()) else proxy


async def check_target(url: URL, allowed: tuple[Network, ...], resolver: AbstractResolver) -> None:
    host = url.raw_host or ""
    try:
        found = [host] if is_ip_address(host) else [one["host"] for one in await resolver.resolve(host, url.port or 0)]
    except OSError:  # a network whose proxy alone can look names up
        return
    if not all(may_connect(address, allowed) for address in found):
        raise Refused("private_address", "behind a proxy")
