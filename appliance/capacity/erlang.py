"""Erlang's formulas: how many slots carry an offered load.

Load is in Erlang (requests a second times the seconds that one takes), slots are what serves one
request at a time. B: a request that finds no free slot is lost (M/G/c/c); C: it waits (M/M/c).
Source: L. Kleinrock, Queueing Systems, volume I (1975), 3.4 (C) and 3.5 (B).
"""

from __future__ import annotations

import math

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


def slots_for_wait(load: float, share: float) -> int:
    """Fewest slots with ``erlang_c`` of at most ``share``: one pass of Erlang B's recursion.

    Raises ValueError for a bad load or share.
    """
    _check(load, 0)
    if not 0 < share < 1:
        raise ValueError(f"a share of {share} is not between 0 and 1")
    if load == 0:
        return 0
    blocked = 1.0
    for count in range(1, MOST_SLOTS + 1):
        blocked = load * blocked / (count + load * blocked)
        if _waiting(load, count, blocked) <= share:
            return count
    raise ValueError(f"a load of {load} Erlang needs over {MOST_SLOTS} slots")


def _waiting(load: float, slots: int, blocked: float) -> float:
    """Erlang C from Erlang B."""
    if load == 0:
        return 0.0 if slots else 1.0
    if load >= slots:
        return 1.0
    return blocked / (1 - load / slots * (1 - blocked))


def _check(load: float, slots: int) -> None:
    if not (load >= 0 and math.isfinite(load)) or slots < 0:
        raise ValueError(f"{load} Erlang on {slots} slots is no load")
