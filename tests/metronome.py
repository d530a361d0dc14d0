"""Tells whether the machine gave the tests their time: sound that was starved proves nothing."""

from __future__ import annotations

import asyncio
from types import TracebackType

TICK_S = 0.02
STARVED_MS = 60
"""Three frames: from here on jitter buffers run dry and words are lost."""
MOST_STARVED = 3
"""So many such gaps in one call are bad luck, more are a machine that is busy with other things."""


class Metronome:
    """Counts, for the length of the block, how often this process was woken too late."""

    def __init__(self) -> None:
        self.starved = 0
        self.worst_ms = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def machine_was_busy(self) -> bool:
        return self.starved > MOST_STARVED

    async def __aenter__(self) -> Metronome:
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            late_ms = (loop.time() - due) * 1000
            self.worst_ms = max(self.worst_ms, late_ms)
            self.starved += late_ms > STARVED_MS
