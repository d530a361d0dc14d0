"""Erlang's formulas: how many slots carry an offered load.

Load is in Erlang (requests a second times the seconds that one takes), slots are what serves one
request at a time. B: a request that finds no free slot is lost (M/G/c/c); C: it waits (M/M/c).
Source: L. Kleinrock, Queueing Systems, volume I (1975), 3.4 (C) and 3.5 (B).
"""

from __future__ import annotations

import math
from collections.abc import Callable

MOST_SLOTS = 1 << 20
"""More is no plan but a mistake in its numbers."""


def erlang_b(load: float, slots: int) -> float:
    """Share of requests that find all ``slots`` busy and are lost.

    By the recursion B(n) = a B(n-1) / (n + a B(n-1)), which neither overflows nor cancels.
    Raises ValueError for a load or a number of slots below 0.
    """
    _check(load, slots)
    blocked = 1.0
    for count in range(1, slots + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked


def erlang_c(load: float, slots: int) -> float:
    """Share of requests that wait because all ``slots`` are busy; 1 where the load is not carried.

    Raises ValueError for a load or a number of slots below 0.
    """
    _check(load, slots)
    return _waiting(load, slots, erlang_b(load, slots))


def mean_wait_s(load: float, slots: int, service_s: float) -> float:
    """Mean wait of all requests; infinite where the load is not carried."""
    if load >= slots:
        return math.inf
    return erlang_c(load, slots) * service_s / (slots - load)


def served_within(load: float, slots: int, service_s: float, within_s: float) -> float:
    """Share of requests that wait at most ``within_s`` (the service level)."""
    if load >= slots:
        return 0.0
    return 1 - erlang_c(load, slots) * math.exp(-(slots - load) * within_s / service_s)


def slots_for_loss(load: float, share: float) -> int:
    """Fewest slots with ``erlang_b`` of at most ``share``. Raises ValueError for a bad share."""
    return _fewest(load, share, lambda slots, blocked: blocked <= share)


def slots_for_wait(load: float, share: float) -> int:
    """Fewest slots with ``erlang_c`` of at most ``share``. Raises ValueError for a bad share."""
    return _fewest(load, share, lambda slots, blocked: _waiting(load, slots, blocked) <= share)


def slots_for_level(load: float, service_s: float, within_s: float, level: float) -> int:
    """Fewest slots so that ``level`` of all requests wait at most ``within_s``.

    Raises ValueError for a level outside 0 to 1.
    """
    if service_s <= 0 or within_s < 0:
        raise ValueError(f"times of {service_s} s and {within_s} s make no service level")

    def enough(slots: int, blocked: float) -> bool:
        if slots <= load:
            return False
        late = _waiting(load, slots, blocked) * math.exp(-(slots - load) * within_s / service_s)
        return 1 - late >= level

    return _fewest(load, 1 - level, enough)


def _waiting(load: float, slots: int, blocked: float) -> float:
    """Erlang C from Erlang B."""
    if load == 0:
        return 0.0 if slots else 1.0
    if load >= slots:
        return 1.0
    return blocked / (1 - load / slots * (1 - blocked))


def _fewest(load: float, share: float, enough: Callable[[int, float], bool]) -> int:
    """Fewest slots that are ``enough``, given Erlang B of as many: one pass of its recursion."""
    _check(load, 0)
    if not 0 < share < 1:
        raise ValueError(f"a share of {share} is not between 0 and 1")
    if load == 0:
        return 0
    blocked = 1.0
    for count in range(1, MOST_SLOTS + 1):
        blocked = load * blocked / (count + load * blocked)
        if enough(count, blocked):
            return count
    raise ValueError(f"a load of {load} Erlang needs over {MOST_SLOTS} slots")


def _check(load: float, slots: int) -> None:
    if not (load >= 0 and math.isfinite(load)) or slots < 0:
        raise ValueError(f"{load} Erlang on {slots} slots is no load")
