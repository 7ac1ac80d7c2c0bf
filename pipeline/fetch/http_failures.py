"""Exceptions of aiohttp and of sockets → the problems of `reasons`.

as_refusal(error)        # ClientConnectorError(…) → Refused("connection_failed")
"""

import socket
import ssl

import aiohttp

from .problems import Refused
from .public_addresses import NotPublic

_NOT_NOW = frozenset({socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY})
_TLS = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError, ssl.CertificateError)
_PROXY = (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)
_PROBLEMS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    (_PROXY, "proxy_failed"),  # first: it is a ClientConnectorError too
    (_TLS, "tls_failed"),
    ((TimeoutError,), "timed_out"),  # also aiohttp's own, which are connection errors too
    ((aiohttp.ClientPayloadError,), "cut_body"),
    ((aiohttp.ClientResponseError,), "bad_answer"),
    ((aiohttp.InvalidURL, UnicodeError), "bad_address"),  # UnicodeError: a label of a name that IDNA refuses
    ((aiohttp.ClientConnectionError, ConnectionError, OSError), "connection_failed"),
)


def as_refusal(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    inner = getattr(error, "os_error", None)
    if isinstance(error, NotPublic) or isinstance(inner, NotPublic):
        return Refused("private_address")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Refused("dns_failed", str(inner), retriable=getattr(inner, "errno", None) in _NOT_NOW)
    for kinds, problem in _PROBLEMS:
        if isinstance(error, kinds):
            return Refused(problem, f"{type(error).__name__}: {error}")
    return Refused("unforeseen", f"{type(error).__name__}: {error}")
