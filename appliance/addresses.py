"""Addresses that this machine may be made to ask by somebody's URL, and connections to no other.

A URL that somebody typed is a way to make this machine ask another one (SSRF): the host's name is
resolved once, the address is checked, and the connection goes to that address whatever the name says a
moment later (no DNS rebinding).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from aiohttp.abc import AbstractResolver, ResolveResult

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA = tuple(
    ip_network(text)
    for text in ("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32")
)
"""Where clouds tell any process of a machine the machine's secrets."""
NAT64 = tuple(IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48"))
"""RFC 6052 and 8215: an IPv4 address, private ones too, stands in the last 32 bits."""


def is_allowed(address: Address, networks: Sequence[Network]) -> bool:
    """Whether ``address`` is in one of ``networks``. Loopback only when a network of its own names it:
    not as a part of "everything"."""
    address = _plain(address)
    if address.is_multicast or address.is_unspecified or address.is_link_local:
        return False
    if any(address in network for network in METADATA):
        return False
    return any(
        address in network
        and (not address.is_loopback or network.network_address.is_loopback)
        and not (network.prefixlen == 0 and address.is_reserved)
        for network in networks
    )


def is_public(address: Address) -> bool:
    """Whether ``address`` is one of the public internet, whatever form it is written in."""
    address = _plain(address)
    if any(address in network for network in METADATA):
        return False
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    if isinstance(address, IPv6Address):
        # what a relay would make an IPv4 address of again
        inside = address.sixtofour or (address.teredo and address.teredo[1])
        return not inside and not any(address in network for network in NAT64)
    return True


def is_for_operator(address: Address, host: str) -> bool:
    """Whether the operator's own URL, of that ``host``, may lead there: to any machine, but to no place
    where clouds tell secrets, and to this machine only by its plain name: a bot's owner, whose DNS
    answers, is not the operator."""
    address = _plain(address)
    if address.is_multicast or address.is_unspecified or address.is_link_local:
        return False
    if any(address in network for network in METADATA):
        return False
    return not address.is_loopback or host in ("localhost", str(address))


def _plain(address: Address) -> Address:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


async def resolved(host: str, port: int, timeout_s: float) -> list[Address]:
    """Every address of ``host``. Raises OSError, UnicodeError or TimeoutError where its name is not
    known now."""
    try:
        return [ip_address(host)]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


class Pinned(AbstractResolver):
    """Answers every name with the one address that was checked."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        family = socket.AF_INET if self._address.version == 4 else socket.AF_INET6
        return [
            ResolveResult(
                hostname=host,
                host=str(self._address),
                port=port,
                family=family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        return None
