"""The kit that judges waits of real time lets a busy machine pass, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from tests.pace_kit import Late, at_once, on_time


def played(tries: Sequence[Late]) -> tuple[Callable[[], Awaitable[Late]], list[Late]]:
    """What measures ``tries`` one after the other, and those that are left."""
    left = list(tries)

    async def measure() -> Late:
        return left.pop(0)

    return measure, left


async def test_one_good_try_is_enough_and_the_last() -> None:
    measure, left = played([{"first": 3, "last": -1}] * 5)
    await on_time(measure, early_ms=5, late_ms=60)
    assert len(left) == 4


async def test_the_machine_may_take_its_time_from_each_thing_once() -> None:
    measure, left = played([{"first": 300, "last": 2}, {"first": 4, "last": 200}])
    await on_time(measure, early_ms=5, late_ms=60)
    assert not left


async def test_what_is_slow_each_time_fails() -> None:
    measure, left = played([{"first": 2, "last": 61 + n} for n in range(5)])
    with pytest.raises(AssertionError, match=r"best of 5 tries: {'last': 61}"):
        await on_time(measure, early_ms=5, late_ms=60)
    assert not left


async def test_what_is_too_early_once_fails() -> None:
    measure, _ = played([{"first": 70}, {"first": -6}])
    with pytest.raises(AssertionError, match="'first': -6"):
        await on_time(measure, early_ms=5, late_ms=60)


@pytest.mark.parametrize("tries", [[{}], [{"first": 70}, {"last": 1}]])
async def test_a_measure_that_leaves_something_out_fails(tries: Sequence[Late]) -> None:
    measure, _ = played(tries)
    with pytest.raises(AssertionError, match="measure"):
        await on_time(measure, late_ms=60)


async def test_at_once_is_without_any_wait() -> None:
    async def sums(wait_s: float) -> int:
        for _ in range(3):
            await asyncio.sleep(0)
        if wait_s:
            await asyncio.sleep(wait_s)
        return 3

    assert await at_once(sums(0)) == 3
    with pytest.raises(AssertionError, match="waits for something"):
        await at_once(sums(0.05))
    with pytest.raises(AssertionError, match="waits for something"):
        await at_once(asyncio.to_thread(lambda: time.sleep(0.05)))
