"""Tells whether the machine gave the tests their time: sound that was starved proves nothing."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import ParamSpec, TypeVar

import pytest

TICK_S = 0.02
STARVED_MS = 60
"""Three frames: from here on jitter buffers run dry and words are lost."""
MOST_STARVED = 3
"""So many such gaps in one call are bad luck, more are a machine that is busy with other things."""
LONGEST_STALL_MS = 120
"""One that is longer than this is heard as a stop, whoever made it."""
MOST_ATTEMPTS = 2
REST_S = 10.0
"""Before another attempt: what stalls a machine is often over soon."""

P = ParamSpec("P")
T = TypeVar("T")


class Metronome:
    """Counts, for the length of the block and on each core, how often a thread that only sleeps was
    woken too late. Work of our own does not delay it (with both cores of a machine busy it was woken
    11 ms late at worst); a machine whose host takes its cores away does."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._cores = sorted(os.sched_getaffinity(0))
        self._starved = dict.fromkeys(self._cores, 0)
        self._worst_ms = dict.fromkeys(self._cores, 0.0)

    @property
    def machine_was_busy(self) -> bool:
        return self.starved > MOST_STARVED or self.worst_ms > LONGEST_STALL_MS

    @property
    def starved(self) -> int:
        """Of the core that was away most often."""
        return max(self._starved.values())

    @property
    def worst_ms(self) -> float:
        return max(self._worst_ms.values())

    def __str__(self) -> str:
        return f"woken late {self.starved} times, {self.worst_ms:.0f} ms at worst"

    def __enter__(self) -> Metronome:
        for core in self._cores:
            threading.Thread(target=self._tick, args=(core,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()

    def _tick(self, core: int) -> None:
        os.sched_setaffinity(0, {core})  # of this thread
        while not self._ended.is_set():
            due = time.monotonic() + TICK_S
            time.sleep(TICK_S)
            late_ms = (time.monotonic() - due) * 1000
            self._worst_ms[core] = max(self._worst_ms[core], late_ms)
            self._starved[core] += late_ms > STARVED_MS


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Processes that wait for each other cannot be judged while the machine stands still: a test of
    such that failed meanwhile is done once again, and fails if it fails again. One that fails on a
    steady machine has failed, and a test of pure parts always has."""
    if not any(item.get_closest_marker(name) for name in ("server", "sip")):
        return (yield)
    with Metronome() as metronome:
        again = pytest.mark.flaky(
            reruns=1, reruns_delay=REST_S, condition=lambda: metronome.machine_was_busy
        )
        item.add_marker(again)
        return (yield)


def on_a_steady_machine(
    attempt: Callable[P, Awaitable[T]],
) -> Callable[P, Awaitable[T]]:
    """Of a test that judges sound, or of a fixture that gathers it: again while the machine stood
    still, and skipped where it did so each time. What fails on a machine that did not has failed; a
    test that passes has passed; what a fixture gives is judged later, and not taken from one that did.
    """

    @functools.wraps(attempt)
    async def attempts(*args: P.args, **kwargs: P.kwargs) -> T:
        seen: list[str] = []
        for number in range(MOST_ATTEMPTS):
            if number:
                await asyncio.sleep(REST_S)
            with Metronome() as metronome:
                failure = result = None
                try:
                    result = await attempt(*args, **kwargs)
                except Exception as error:
                    failure = error
            seen.append(str(metronome))
            print(metronome)
            if metronome.machine_was_busy and (failure or result is not None):
                continue
            if failure:
                raise failure
            return result  # type: ignore[return-value]
        pytest.skip(f"the machine stood still in each attempt: {'; '.join(seen)}")

    return attempts
