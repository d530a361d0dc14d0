"""Servers of one stage under a day's requests: discrete events, the appliance's own policy.

A request takes a slot of a warm server, or waits for one in line. Servers that the policy asks for
take their warm-up time; those that it gives up take nothing new and finish what they have. Time is
that of the events; nothing sleeps.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from appliance.capacity.plan import Pool
from appliance.capacity.policy import wanted

TICK_S = 5.0
"""How often the policy is asked; `ivr up` asks as often, Ray Serve's controller likewise."""

Steps = Callable[[float], tuple[tuple[float, int], ...]]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests in order: when (unix seconds), and for how long each keeps a slot (seconds)."""

    at_s: tuple[float, ...]
    busy_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """The servers at one moment."""

    at_s: float
    started: int
    """Warm ones and those that warm up."""
    warm: int
    needed: float
    """Slots in use and waited for, in servers."""


@dataclass
class Outcome:
    """What a day was like."""

    requests: int = 0
    cold: int = 0
    """Requests that found no slot while a server was warming up."""
    waits: list[tuple[float, float]] = field(default_factory=list)
    """(when, seconds until a slot) of each request that found none."""
    ticks: list[Tick] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        waited = sorted(seconds for _, seconds in self.waits)
        return {
            "requests": self.requests,
            "no_slot": len(waited),
            "no_slot_share": round(len(waited) / max(1, self.requests), 5),
            "cold_starts": self.cold,
            "wait_p95_s": round(waited[int(0.95 * (len(waited) - 1))], 2) if waited else 0.0,
            "wait_max_s": round(waited[-1], 2) if waited else 0.0,
            "servers_mean": round(sum(t.started for t in self.ticks) / max(1, len(self.ticks)), 2),
            "servers_most": max((t.started for t in self.ticks), default=0),
        }


@dataclass
class _Servers:
    pool: Pool
    warm: int
    warming: deque[float] = field(default_factory=deque)
    """When each is ready, in order."""
    in_flight: int = 0
    line: deque[tuple[float, float]] = field(default_factory=deque)
    """(arrived, busy) of requests that wait; bounded by the day's requests."""

    @property
    def started(self) -> int:
        return self.warm + len(self.warming)

    def follow(self, count: int, now_s: float) -> None:
        """Start or give up servers: those that warm up first, as nobody is on them."""
        while self.started < count:
            self.warming.append(now_s + self.pool.warm_up_s)
        while self.started > count and self.warming:
            self.warming.pop()
        self.warm = min(self.warm, count)

    def ready(self, now_s: float) -> None:
        while self.warming and self.warming[0] <= now_s:
            self.warming.popleft()
            self.warm += 1

    @property
    def room(self) -> int:
        return self.warm * self.pool.capacity - self.in_flight


def simulate(
    asked: Arrivals, pool: Pool, steps: Steps, begin_s: float, end_s: float, idle_s: float
) -> Outcome:
    """Serve ``asked`` from ``begin_s`` to ``end_s``; ``steps`` gives the plan in force at a time."""
    outcome = Outcome(requests=len(asked.at_s))
    servers = _Servers(pool, warm=max(1, pool.least))
    state: dict[str, Any] = {}
    leaving: list[float] = []
    position, next_tick = 0, begin_s

    def let_in(now_s: float) -> None:
        while servers.line and servers.room > 0:
            arrived, busy = servers.line.popleft()
            outcome.waits.append((arrived, now_s - arrived))
            servers.in_flight += 1
            heapq.heappush(leaving, now_s + busy)

    while True:
        arrival = asked.at_s[position] if position < len(asked.at_s) else math.inf
        ready = servers.warming[0] if servers.warming else math.inf
        now_s = min(arrival, next_tick, ready, leaving[0] if leaving else math.inf)
        if now_s >= end_s:
            return outcome
        while leaving and leaving[0] <= now_s:
            heapq.heappop(leaving)
            servers.in_flight -= 1
        servers.ready(now_s)
        let_in(now_s)
        if arrival <= now_s:
            _arrive(servers, outcome, leaving, arrival, asked.busy_s[position])
            position += 1
        if next_tick <= now_s:
            load = servers.in_flight + len(servers.line)
            count, state = wanted(
                now_s, steps(now_s), servers.started, load, pool.capacity, pool.least, pool.most,
                pool.warm_up_s, idle_s, state,
            )  # fmt: skip
            servers.follow(count, now_s)
            outcome.ticks.append(Tick(now_s, servers.started, servers.warm, load / pool.capacity))
            next_tick += TICK_S


def _arrive(
    servers: _Servers, outcome: Outcome, leaving: list[float], at_s: float, busy_s: float
) -> None:
    if servers.room > 0 and not servers.line:
        servers.in_flight += 1
        heapq.heappush(leaving, at_s + busy_s)
        return
    outcome.cold += bool(servers.warming)
    servers.line.append((at_s, busy_s))
