"""Texts waiting for a model that computes in one thread: what waits during a run goes together next."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from appliance.metrics.serving import SERVING

Item = TypeVar("Item")
Compute = Callable[[Sequence[Item]], Iterable[Any]]


class Full(Exception):
    """Too many texts are waiting already."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a lane takes at once."""

    run_items: int
    run_chars: int
    """Of one run, padding included: items times the longest of them."""
    waiting: int
    """Items; more are refused."""


@dataclass(eq=False, slots=True)
class _Job(Generic[Item]):
    item: Item
    chars: int
    result: asyncio.Future[Any]
    came_s: float


class Lane(Generic[Item]):
    """One queue and one thread for the runs of what is in it."""

    def __init__(
        self,
        compute: Compute[Item],
        size: Callable[[Item], int],
        bounds: Bounds,
        *,
        niceness: int = 0,
        before_run: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """``size``: of an item, in characters. ``niceness``: of the thread, above the process's own.
        ``before_run`` is awaited before each run."""
        self._compute = compute
        self._size = size
        self._bounds = bounds
        self._before_run = before_run
        SERVING.watch_queue(lambda: len(self._waiting), bounds.waiting)
        self._thread = ThreadPoolExecutor(1, "lane", initializer=_be_nice, initargs=(niceness,))
        self._waiting: deque[_Job[Item]] = deque()  # bounded by Bounds.waiting, see submit()
        self._arrived = asyncio.Event()
        self._running = False

    @property
    def waiting(self) -> int:
        """Items not yet given to the model."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is computed."""
        return not (self._waiting or self._running)

    async def submit(self, items: Sequence[Item]) -> list[Any]:
        """The result of each item, in order. Raises Full, and whatever the model raises."""
        if len(self._waiting) + len(items) > self._bounds.waiting:
            raise Full
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        jobs = [_Job(item, self._size(item), loop.create_future(), now_s) for item in items]
        self._waiting.extend(sorted(jobs, key=lambda job: job.chars))  # alike ones need no padding
        self._arrived.set()
        try:
            return await asyncio.gather(*(job.result for job in jobs))
        finally:
            for job in jobs:
                job.result.cancel()  # no-op when done; else nobody wants it any more

    def _take(self) -> list[_Job[Item]]:
        jobs: list[_Job[Item]] = []
        longest = 0
        while self._waiting and len(jobs) < self._bounds.run_items:
            job = self._waiting[0]
            if not job.result.done():
                longest = max(longest, job.chars)
                if jobs and longest * (len(jobs) + 1) > self._bounds.run_chars:
                    break
                jobs.append(job)
            self._waiting.popleft()
        return jobs

    async def run(self) -> None:
        """Serve the queue until cancelled. A run that fails fails its own requests only."""
        try:
            while True:
                await self._arrived.wait()
                if self._before_run is not None:
                    await self._before_run()
                jobs = self._take()
                if jobs:
                    await self._serve(jobs)
                else:
                    self._arrived.clear()
        finally:
            self._thread.shutdown(wait=False)

    async def _serve(self, jobs: list[_Job[Item]]) -> None:
        items = [job.item for job in jobs]
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for job in jobs:
            SERVING.queue_seconds.observe(began_s - job.came_s)
        self._running = True
        try:
            results = await loop.run_in_executor(self._thread, self._compute, items)
        except Exception as e:  # border of a job: whatever the model raised is the requests' error
            for job in jobs:
                if not job.result.done():
                    job.result.set_exception(e)
            return
        finally:
            self._running = False
            SERVING.ran(len(items), loop.time() - began_s)
        for job, result in zip(jobs, results, strict=True):
            if not job.result.done():
                job.result.set_result(result)


def _be_nice(niceness: int) -> None:
    """Lower this thread's priority: on Linux a thread has its own."""
    if niceness:
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, 0) + niceness)
