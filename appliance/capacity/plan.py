"""Servers of each stage: how many N calls ask for, and when they are to be started.

A stage is used in one of two ways. *Held*: a call keeps its slot from its first to its last moment
(the recogniser's connection); calls at once are slots. *Shared*: calls send requests; the load is
in Erlang, and Erlang C says how many slots let at most ``wait_share`` of requests wait.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from appliance.capacity.erlang import MOST_SLOTS, erlang_c, slots_for_wait


class Use(Enum):
    """How calls use a server of a stage."""

    HELD = "held"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class CallsAt:
    """Calls at once in the interval from ``from_s`` (unix seconds): mean, and upper quantile."""

    from_s: float
    mean: float
    upper: float


@dataclass(frozen=True, slots=True)
class Step:
    """From ``from_s`` (unix seconds) until the next step, so many servers."""

    from_s: float
    servers: int


@dataclass(frozen=True, slots=True)
class Pool:
    """The servers of one stage, as the plan sees them."""

    stage: str
    use: Use
    erlang_per_call: float
    """Of a shared stage: requests a second of one call times the seconds that one takes."""
    capacity: int
    """Slots of one server."""
    least: int
    most: int
    warm_up_s: float
    fixed: int = 0
    """Servers that somebody else runs: always there, never started or stopped by us."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the site wants of every stage."""

    wait_share: float
    """Most requests that may wait."""
    headroom: float
    """Servers above the need, as a share of it."""
    hold_s: float
    """A dip of the need shorter than this stops no server."""


@dataclass(frozen=True, slots=True)
class Sized:
    """What a number of calls asks of one stage."""

    stage: str
    calls: float
    load: float
    """Slots in use on average, in Erlang."""
    slots: int
    """Slots needed."""
    servers: int
    """Servers needed, headroom included, those of somebody else not counted, at least ``least``."""
    wanted: int
    """As ``servers``, and not over ``most``."""
    waiting: float
    """Share of requests that wait with ``wanted`` servers (held: of calls without a slot)."""

    @property
    def short(self) -> int:
        """Servers that ``most`` forbids."""
        return self.servers - self.wanted


def size(calls: float, pool: Pool, policy: Policy) -> Sized:
    """What ``calls`` at once ask of a stage. Raises ValueError for a number that is no load."""
    if not 0 <= calls < MOST_SLOTS:
        raise ValueError(f"{calls} calls at once cannot be planned for")
    capacity = max(1, pool.capacity)
    load = calls if pool.use is Use.HELD else calls * pool.erlang_per_call
    slots = math.ceil(load) if pool.use is Use.HELD else slots_for_wait(load, policy.wait_share)
    # 1e-9: 1.2 × 10 slots are 12, whatever floating point makes of it
    ours = math.ceil(slots * (1 + policy.headroom) / capacity - 1e-9) - pool.fixed
    servers = max(ours, pool.least)
    wanted = min(servers, max(pool.most, pool.least))
    there = (wanted + pool.fixed) * capacity
    if pool.use is Use.HELD:
        waiting = max(0.0, 1 - there / load) if load else 0.0
    else:
        waiting = erlang_c(load, there)
    return Sized(pool.stage, calls, load, slots, servers, wanted, waiting)


def over_time(
    calls: Sequence[CallsAt], interval_s: float, pool: Pool, policy: Policy
) -> tuple[Step, ...]:
    """When to have how many servers, so that each interval finds its own warm.

    Rises are ``warm_up_s`` early, dips shorter than ``hold_s`` are filled, equal steps are one.
    After the last interval the plan wants none: an old plan is no reason to keep a server.
    """
    if not calls:
        return ()
    sized: dict[float, int] = {}  # few different numbers of calls, many intervals
    for at in calls:
        if at.upper not in sized:
            sized[at.upper] = size(at.upper, pool, policy).wanted
    filled = _without_dips([sized[at.upper] for at in calls], math.ceil(policy.hold_s / interval_s))
    return _early(
        [at.from_s for at in calls], filled, calls[-1].from_s + interval_s, pool.warm_up_s
    )


def at_time(steps: Sequence[Step], at_s: float) -> int:
    """Servers that ``steps`` want at a time; none before the first."""
    servers = 0
    for step in steps:
        if step.from_s > at_s:
            break
        servers = step.servers
    return servers


def _without_dips(need: Sequence[int], longest: int) -> list[int]:
    """``need`` with every dip of at most ``longest`` intervals filled to the lower of its banks
    (morphological closing with a flat window)."""
    width = longest + 1
    padded = [0] * longest + list(need) + [0] * longest
    tops = [max(padded[i : i + width]) for i in range(len(need) + longest)]
    return [min(tops[i : i + width]) for i in range(len(need))]


def _early(
    starts: Sequence[float], servers: Sequence[int], end_s: float, warm_up_s: float
) -> tuple[Step, ...]:
    """At each time the most that is needed from then until ``warm_up_s`` later."""
    steps: list[Step] = []
    moments = sorted({*starts, end_s, *(start - warm_up_s for start in starts)})
    first = last = 0
    for moment in moments:
        while last < len(starts) and starts[last] <= moment + warm_up_s:
            last += 1
        while first < len(starts) and (*starts[first + 1 : first + 2], end_s)[0] <= moment:
            first += 1
        count = max(servers[first:last], default=0)
        if not steps or steps[-1].servers != count:
            steps.append(Step(moment, count))
    return tuple(steps)
