"""Upper bounds of real time, on a machine that does other things as well.

A test that allows a wait so many ms more than it should last fails as soon as something else runs in
them: a machine of two cores that runs three files at a time takes 100 ms away now and then. What the
machine adds it does not add each time, and a real slowness is in each: so a measure is taken a few
times, every one keeps its lower bound, and one of them the upper. How fast something is, is shown in
bench/; here it is only told from what is slow by nature (a wait too many, a deadline not kept).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from math import inf
from typing import Any, TypeVar

TRIES = 5
"""A machine that takes its time away five times in a row cannot run calls at all."""

TURNS = 50
"""Of the event loop: more than any work needs that waits for nothing."""

T = TypeVar("T")
Late = Mapping[str, float]
"""Of each thing measured, by its name: how many ms after it was due it came; less than 0: before."""


async def on_time(
    measure: Callable[[], Awaitable[Late]],
    *,
    early_ms: float = inf,
    late_ms: float,
    tries: int = TRIES,
) -> None:
    """Every try has everything ``early_ms`` before it is due at the earliest; and each thing is in one
    of them no more than ``late_ms`` late. Ends with the first try after which that holds.
    """
    best: dict[str, float] = {}
    for _ in range(tries):
        best = _better(best, await measure(), early_ms)
        if max(best.values()) <= late_ms:
            return
    _too_late(best, late_ms, tries)


def on_time_sync(
    measure: Callable[[], Late], *, early_ms: float = inf, late_ms: float, tries: int = TRIES
) -> None:
    """:func:`on_time` for what needs no event loop, or runs one of its own."""
    best: dict[str, float] = {}
    for _ in range(tries):
        best = _better(best, measure(), early_ms)
        if max(best.values()) <= late_ms:
            return
    _too_late(best, late_ms, tries)


def _better(best: Late, late: Late, early_ms: float) -> dict[str, float]:
    assert late, "nothing was measured"
    too_early = {name: ms for name, ms in late.items() if ms < -early_ms}
    assert not too_early, f"ms after they were due: {too_early}"
    assert not best or best.keys() == late.keys(), "each try measures the same"
    return {name: min(ms, best.get(name, inf)) for name, ms in late.items()}


def _too_late(best: Late, late_ms: float, tries: int) -> None:
    too_late = {name: ms for name, ms in best.items() if ms > late_ms}
    raise AssertionError(f"ms after they were due, the best of {tries} tries: {too_late}")


async def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` gives without waiting for a timer, a thread or a wire: for nothing but its turn."""
    task = asyncio.create_task(work)
    for _ in range(TURNS):
        await asyncio.sleep(0)
        if task.done():
            return task.result()
    task.cancel()
    raise AssertionError("it waits for something")
