"""Which addresses documents may be read from: the operator's networks and nothing beside them."""

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

from appliance.knowledge.reading.document import RefusedDocumentError, UnreadableDocumentError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA = tuple(
    ip_network(text)
    for text in ("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32")
)
"""Where clouds tell any process of a machine the machine's secrets."""


async def allowed_address(
    host: str, port: int, networks: Sequence[Network], timeout_s: float
) -> Address:
    """The address of ``host`` to connect to.

    Raises RefusedDocumentError when it has none inside ``networks``, UnreadableDocumentError when its
    name is not known now.
    """
    found = await _resolved(host, port, timeout_s)
    for address in found:
        if is_allowed(address, networks):
            return address
    if not networks:
        raise RefusedDocumentError(
            "Documents are read from no address; name your networks in knowledge.networks."
        )
    raise RefusedDocumentError(
        f"{host} is at {found[0]}, outside of knowledge.networks; add its network if it is yours."
    )


def is_allowed(address: Address, networks: Sequence[Network]) -> bool:
    """Whether a document may come from ``address``. Loopback only when a network of its own names it:
    not as a part of "everything"."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
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


async def _resolved(host: str, port: int, timeout_s: float) -> list[Address]:
    try:
        return [ip_address(host)]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as e:
        raise UnreadableDocumentError(
            f"The name {host} is not known now; check it, and this machine's DNS."
        ) from e
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
