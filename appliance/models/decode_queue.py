"""Decodes that wait for the one model of a process: finals first, partials when there is time.

A caller waits for a final; a partial that comes late is only worth less. So a final goes before
every waiting partial, whichever call asked for it, and gives way only to the decode under way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Full(Exception):
    """Too many decodes wait already."""


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    work: Callable[[], Awaitable[T]]
    result: asyncio.Future[T]


class DecodeQueue(Generic[T]):
    """Runs one decode at a time; cancelling the future of a waiting one takes it out."""

    def __init__(self, most_waiting: int) -> None:
        """``most_waiting``: of finals and partials together, beside the decode under way."""
        self._most_waiting = most_waiting
        self._finals: deque[_Job[T]] = deque()  # both bounded by _make_room
        self._partials: deque[_Job[T]] = deque()
        self._running: asyncio.Task[None] | None = None

    def final(self, work: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        """Decode before all partials; where there is no room, the newest partial is cancelled.

        Raises Full when nothing but finals waits.
        """
        self._drop_cancelled()
        if self._is_full() and self._partials:
            self._partials.pop().result.cancel()
        return self._add(self._finals, work)

    def partial(self, work: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        """Decode when no final waits. Raises Full: ask again with more audio."""
        self._drop_cancelled()
        return self._add(self._partials, work)

    def _add(self, line: deque[_Job[T]], work: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        if self._is_full():
            raise Full
        job = _Job(work, asyncio.get_running_loop().create_future())
        line.append(job)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return job.result

    def _is_full(self) -> bool:
        return len(self._finals) + len(self._partials) >= self._most_waiting

    def _drop_cancelled(self) -> None:
        for line in (self._finals, self._partials):
            for job in [job for job in line if job.result.cancelled()]:
                line.remove(job)

    async def _run(self) -> None:
        """Serve until nothing waits."""
        while line := self._finals or self._partials:
            job = line.popleft()
            if not job.result.cancelled():
                await _serve(job)


async def _serve(job: _Job[T]) -> None:
    try:
        value = await job.work()
    except Exception as e:  # the border of a job: it fails the call that asked for it, no other
        if not job.result.done():
            job.result.set_exception(e)
        return
    if not job.result.done():
        job.result.set_result(value)
