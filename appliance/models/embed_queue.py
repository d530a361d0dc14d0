"""Texts waiting for the embedding model: questions of calls first, then what is being ingested.

One thread runs the model; what waits while it runs goes together into its next run. A request of
one text is a caller's question and overtakes requests of many texts (ingestion), which are taken
in small portions so that a question never waits long behind them.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MAX_RUN_TEXTS = 8
"""8 questions in one run take 10 ms, 8 runs of one 20 ms (one core)."""
MAX_RUN_CHARS = 1000
"""Bounds one run to about 30 ms: a passage of 500 characters takes 12 ms."""
MAX_WAITING_TEXTS = 512
"""Some 3 s of work for passages; more than that is refused."""

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


class Full(Exception):
    """Too many texts are waiting already."""


@dataclass(order=True)
class _Job:
    bulk: bool
    order: int
    text: str = field(compare=False)
    vector: asyncio.Future[NDArray[np.float32]] = field(compare=False)


class EmbedQueue:
    """Feeds ``embed`` (called in a thread of its own) from any number of requests."""

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._thread = ThreadPoolExecutor(1, "embed")
        self._waiting: list[_Job] = []  # a heap; bounded by MAX_WAITING_TEXTS, see embed()
        self._arrived = asyncio.Event()
        self._count = 0

    @property
    def waiting(self) -> int:
        """Texts not yet given to the model."""
        return len(self._waiting)

    async def embed(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """One unit-length vector a text, in order. Raises Full when too many are waiting."""
        if len(self._waiting) + len(texts) > MAX_WAITING_TEXTS:
            raise Full
        loop = asyncio.get_running_loop()
        jobs = []
        for text in texts:
            self._count += 1
            jobs.append(_Job(len(texts) > 1, self._count, text, loop.create_future()))
            heapq.heappush(self._waiting, jobs[-1])
        self._arrived.set()
        try:
            return await asyncio.gather(*(job.vector for job in jobs))
        finally:
            for job in jobs:
                job.vector.cancel()  # no-op when done; else nobody wants it any more

    def _take(self) -> list[_Job]:
        jobs: list[_Job] = []
        chars = 0
        while self._waiting and len(jobs) < MAX_RUN_TEXTS:
            if self._waiting[0].vector.done():
                heapq.heappop(self._waiting)
                continue
            chars += len(self._waiting[0].text)
            if jobs and chars > MAX_RUN_CHARS:
                break
            jobs.append(heapq.heappop(self._waiting))
        return jobs

    async def run(self) -> None:
        """Serve the queue until cancelled. A run that fails fails its own requests only."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._arrived.wait()
                jobs = self._take()
                if not jobs:
                    self._arrived.clear()
                    continue
                await self._serve(loop, jobs)
        finally:
            self._thread.shutdown(wait=False)

    async def _serve(self, loop: asyncio.AbstractEventLoop, jobs: list[_Job]) -> None:
        texts = [job.text for job in jobs]
        try:
            vectors = await loop.run_in_executor(self._thread, self._embed, texts)
        except Exception as e:  # border of a job: whatever the model raised is the requests' error
            for job in jobs:
                if not job.vector.done():
                    job.vector.set_exception(e)
            return
        for job, vector in zip(jobs, vectors, strict=True):
            if not job.vector.done():
                job.vector.set_result(vector)
