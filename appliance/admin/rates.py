"""How often one address, or one key, may ask: a token bucket for each."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

MOST_KNOWN = 10_000
"""Who was not heard of for the longest is forgotten first: their bucket is full again by then."""
IPV6_SITE_BITS = 64
"""Whoever has one address of IPv6 has all of its network."""


def site_of(address: str) -> str:
    """Whom ``address`` counts as: itself, or its network where whoever has one has 2^64 of them."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:  # all of IPv4 is one network there
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, IPV6_SITE_BITS), strict=False))


class Rates:
    """Token buckets that hold a minute's worth of requests."""

    def __init__(self, a_minute: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._most = float(a_minute)
        self._a_second = a_minute / 60
        self._now_s = now_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, who: str) -> bool:
        """Whether ``who`` may ask now; takes one token if so."""
        now_s = self._now_s()
        tokens, at_s = self._buckets.pop(who, (self._most, now_s))
        tokens = min(self._most, tokens + (now_s - at_s) * self._a_second)
        allowed = tokens >= 1
        self._buckets[who] = (tokens - allowed, now_s)
        if len(self._buckets) > MOST_KNOWN:
            self._buckets.popitem(last=False)
        return allowed
