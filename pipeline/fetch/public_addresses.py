"""Sockets that connect to public addresses only, whatever name or redirect led there.

A list from the web may point into the network of whoever fetches it: to a router, a database, the metadata service of a
cloud. A name that is looked up, checked, and then looked up again by the client may have changed in between; so the
check is on the address that a socket is about to connect to.

    TCPConnector(socket_factory=checked_sockets(allowed=["10.1.0.0/16"]))
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: tuple[Network, ...] = (
    ipaddress.IPv6Network("64:ff9b:1::/48"),  # NAT64 of a network's own
    ipaddress.IPv6Network("fec0::/10"),  # site-local, deprecated but still routed by some
    ipaddress.IPv4Network("192.0.0.0/24"),  # of protocols, not hosts; some Pythons call most of it global
    ipaddress.IPv4Network("192.88.99.0/24"),  # the relay of 6to4, deprecated
    ipaddress.IPv4Network("168.63.129.16/32"),  # public by its number, but Azure's host agent answers there
)


class NotPublic(OSError):
    """Its text is always the same: when several addresses fail alike, asyncio's connect raises the first error."""

    def __init__(self) -> None:
        super().__init__("not a public address")


def is_public(address: Address) -> bool:
    """Whether an address is public, and any IPv4 address inside it (mapped, compatible, 6to4, Teredo, NAT64), too."""
    if address.is_multicast or address.is_reserved or not address.is_global:
        return isinstance(address, ipaddress.IPv6Address) and _is_translated(address)
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
    return isinstance(address, ipaddress.IPv4Address) or all(is_public(inner) for inner in _embedded(address))


def networks(allowed: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(network, strict=False) for network in allowed)


def is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def may_connect(address: str, allowed: tuple[Network, ...]) -> bool:
    number = ipaddress.ip_address(address)
    inner = _embedded(number) if isinstance(number, ipaddress.IPv6Address) else []
    if any(one in network for network in allowed for one in (number, *inner) if network.version == one.version):
        return True
    return is_public(number)


def checked_sockets(allowed: Iterable[str]) -> Callable[[AddrInfo], socket.socket]:
    """A function for aiohttp's `TCPConnector(socket_factory=…)`, which calls it with the address to connect to."""
    also_allowed = networks(allowed)

    def socket_for(info: AddrInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        if family not in (socket.AF_INET, socket.AF_INET6) or not may_connect(address[0], also_allowed):
            raise NotPublic
        return socket.socket(family=family, type=kind, proto=protocol)

    return socket_for


def _is_translated(address: ipaddress.IPv6Address) -> bool:
    """Whether a mapped or NAT64 address leads to a public one; Python calls all of them reserved or not global."""
    inner = address.ipv4_mapped or (_low_bits(address) if address in _NAT64 else None)
    return inner is not None and is_public(inner)


def _embedded(address: ipaddress.IPv6Address) -> list[Address]:
    inner: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or int(address) >> 32 == 0:  # the latter: IPv4-compatible, `::127.0.0.1`
        inner.append(_low_bits(address))
    return [one for one in inner if one is not None]


def _low_bits(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
