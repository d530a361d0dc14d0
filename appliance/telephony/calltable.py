"""Which child process has which call: Call-ID -> child, with expiry. Pure: time comes in.

A child is known by its SIP port on loopback. Times are seconds of a monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from appliance.telephony.sipmessage import Request, Response

LINGER_S = 64.0
"""Kept after the last message: a transaction's longest life (64 × T1 = 32 s), twice."""
TAKEN_WITHIN_S = 3.0
"""A child takes a call within milliseconds, or never: pjsip drops what it cannot read in silence."""

MAX_LINGERING = 2048
"""Calls that are over and kept for late messages; the oldest goes first. LINGER_S alone would let
a caller who is refused 1 000 times a second fill the memory."""


class CallState(Enum):
    PASSED_ON = auto()
    """The INVITE was passed on; holds a slot."""
    LIVE = auto()
    """The child has the call; holds a slot until the child says that it ended."""
    OVER = auto()
    """Only late messages are expected; expires."""


@dataclass(frozen=True, slots=True)
class Flow:
    """How a peer outside is reached: a UDP address, or the TCP connection from that address."""

    transport: str
    """``udp`` or ``tcp``."""
    host: str
    port: int


@dataclass(slots=True)
class CallEntry:
    """One call as the proxy knows it; owned by the table."""

    call_id: str
    child: int
    flow: Flow
    direct: bool
    """The INVITE came straight from the caller, so in-dialog requests go back over ``flow``."""
    invite: Request
    since: float
    expires_at: float
    state: CallState = CallState.PASSED_ON
    answer: Response | None = None


class CallTable:
    """Owns the children's slots and the calls on them."""

    def __init__(self, calls_per_child: int) -> None:
        self._per_child = calls_per_child
        self._children: set[int] = set()
        self._entries: dict[str, CallEntry] = {}

    @property
    def children(self) -> frozenset[int]:
        return frozenset(self._children)

    @property
    def in_use(self) -> int:
        """Calls that hold a slot."""
        entries = list(self._entries.values())  # the thread of the metrics asks too
        return sum(1 for entry in entries if entry.state is not CallState.OVER)

    @property
    def lines(self) -> int:
        """Calls that all children together can carry."""
        return self._per_child * len(self._children)

    def hosts_in_use(self) -> list[str]:
        """The host of each call that holds a slot."""
        return [e.flow.host for e in self._entries.values() if e.state is not CallState.OVER]

    def live_hosts(self) -> set[str]:
        """Who has a call in progress."""
        return {e.flow.host for e in self._entries.values() if e.state is CallState.LIVE}

    def add_child(self, port: int) -> None:
        self._children.add(port)

    def drop_child(self, port: int) -> list[CallEntry]:
        """Forget a child; returns the calls that went down with it."""
        self._children.discard(port)
        gone = [entry for entry in self._entries.values() if entry.child == port]
        for entry in gone:
            del self._entries[entry.call_id]
        return [entry for entry in gone if entry.state is not CallState.OVER]

    def find(self, call_id: str, now: float) -> CallEntry | None:
        """The entry of a call, its expiry moved on."""
        entry = self._entries.get(call_id)
        if entry:
            entry.expires_at = now + LINGER_S
        return entry

    def assign(self, invite: Request, flow: Flow, *, direct: bool, now: float) -> CallEntry | None:
        """Give a new call to the child with the most free slots; None when all are full."""
        free = dict.fromkeys(self._children, self._per_child)
        for entry in self._entries.values():
            if entry.state is not CallState.OVER and entry.child in free:
                free[entry.child] -= 1
        child = max(free, key=lambda port: (free[port], -port), default=None)
        if child is None or free[child] <= 0:
            return None
        call = CallEntry(invite.call_id, child, flow, direct, invite, now, now + LINGER_S)
        self._entries.pop(call.call_id, None)  # to the end: entries stand in order of their age
        self._entries[call.call_id] = call
        self._forget_oldest()
        return call

    def _forget_oldest(self) -> None:
        if len(self._entries) > MAX_LINGERING:
            over = (entry for entry in self._entries.values() if entry.state is CallState.OVER)
            if oldest := next(over, None):
                del self._entries[oldest.call_id]

    def started(self, call_id: str) -> None:
        """The child took the call."""
        if entry := self._entries.get(call_id):
            entry.state = CallState.LIVE

    def ended(self, call_id: str, now: float) -> None:
        """The call is over; its slot is free at once, its Call-ID lingers for late messages."""
        if entry := self._entries.get(call_id):
            entry.state = CallState.OVER
            entry.expires_at = now + LINGER_S

    def sweep(self, now: float) -> list[CallEntry]:
        """Drop what has expired (a live call never does); returns calls that no child took."""
        untaken = [
            entry
            for entry in self._entries.values()
            if entry.state is CallState.PASSED_ON and entry.since + TAKEN_WITHIN_S <= now
        ]
        for entry in untaken:
            self.ended(entry.call_id, now)
        for entry in list(self._entries.values()):
            if entry.state is not CallState.LIVE and entry.expires_at <= now:
                del self._entries[entry.call_id]
        return untaken
