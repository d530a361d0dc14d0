"""How much SIP one source may send, and all strangers together. Pure: time comes in, in seconds.

``ivr sip`` asks before it reads a message. A carrier or PBX that the setting ``sip.trunks`` names has a
budget of its own; whoever else may call (``sip.allow``) has a small one each, and all of them one
together, for the source of a datagram can be invented: a flood from thousands of addresses uses up the
common budget, and takes nothing from trunks or from those whose call is in progress.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

MOST_SOURCES = 4096
"""Whose budgets are remembered; the one heard of longest ago begins anew."""
MOST_CACHED = 4096
"""Hosts of which it is known whether they are a trunk's."""
STRANGERS_SHARE = 0.5
"""Of the lines, where trunks are named: so many may be taken by others."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A token bucket."""

    a_second: float
    burst: float


MESSAGES = Budget(200, 400)
"""Any message of one source: a call takes some ten, a keep-alive one in 30 s."""
BEGINNINGS = Budget(20, 60)
"""Messages of one source that belong to no call of ours: INVITE, OPTIONS, REGISTER."""
TRUNK_MESSAGES = Budget(2000, 4000)
TRUNK_BEGINNINGS = Budget(200, 400)
STRANGERS_MESSAGES = Budget(500, 1000)
"""All sources together that are no trunks and have no call: some 0.2 ms of work each."""
STRANGERS_BEGINNINGS = Budget(100, 200)


class Kind(Enum):
    MESSAGE = "messages"
    """Not read yet."""
    BEGINNING = "beginnings"
    """Read, and of no call that we know."""


class _Bucket:
    __slots__ = ("_at_s", "_left")

    def __init__(self, budget: Budget, now_s: float) -> None:
        self._left = budget.burst
        self._at_s = now_s

    def take(self, budget: Budget, now_s: float) -> bool:
        left = min(budget.burst, self._left + budget.a_second * max(0.0, now_s - self._at_s))
        self._at_s = now_s
        self._left = left - 1 if left >= 1 else left
        return left >= 1


class Flood:
    """The budgets of everybody."""

    def __init__(self, trunks: Collection[Network]) -> None:
        self._trunks = tuple(trunks)
        self._is_trunk: OrderedDict[str, bool] = OrderedDict()
        self._sources: OrderedDict[tuple[Kind, str], _Bucket] = OrderedDict()
        self._strangers: dict[Kind, _Bucket] = {}
        self._known: frozenset[str] = frozenset()

    @property
    def names_trunks(self) -> bool:
        """Whether anybody is a trunk."""
        return bool(self._trunks)

    def is_trunk(self, host: str) -> bool:
        """Whether ``host`` (an IP address) is in one of the trunks' networks."""
        found = self._is_trunk.get(host)
        if found is None:
            address = ip_address(host.partition("%")[0])
            found = any(address in network for network in self._trunks)
            self._is_trunk[host] = found
            if len(self._is_trunk) > MOST_CACHED:
                self._is_trunk.popitem(last=False)
        return found

    def live_hosts(self, hosts: Collection[str]) -> None:
        """Who has a call now: they do not share the strangers' budget."""
        self._known = frozenset(hosts)

    def lets_in(self, host: str, kind: Kind, now_s: float) -> bool:
        """Whether one more of ``kind`` from ``host`` is read, or answered."""
        trunk = self.is_trunk(host)
        ours, together = _BUDGETS[kind, trunk], _TOGETHER[kind]
        key = kind, host
        bucket = self._sources.pop(key, None) or _Bucket(ours, now_s)
        self._sources[key] = bucket
        if len(self._sources) > MOST_SOURCES:
            self._sources.popitem(last=False)
        if not bucket.take(ours, now_s):
            return False
        if trunk or host in self._known:
            return True
        common = self._strangers.setdefault(kind, _Bucket(together, now_s))
        return common.take(together, now_s)


_BUDGETS = {
    (Kind.MESSAGE, False): MESSAGES,
    (Kind.MESSAGE, True): TRUNK_MESSAGES,
    (Kind.BEGINNING, False): BEGINNINGS,
    (Kind.BEGINNING, True): TRUNK_BEGINNINGS,
}
_TOGETHER = {Kind.MESSAGE: STRANGERS_MESSAGES, Kind.BEGINNING: STRANGERS_BEGINNINGS}
