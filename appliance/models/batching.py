"""Decodes of all calls that wait for the one model of a process go together into its next run.

A GPU decodes eight utterances in little more than the time of one. Nothing waits to fill a batch:
what has come while the model was busy is the next batch. A caller waits for a final; a partial
that comes late is only worth less: finals go first, in the order in which they were asked for, and
so do partials, of which a call has one at most: each call gets its turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from appliance.errors import reason_of
from appliance.metrics.serving import SERVING

_log = logging.getLogger(__name__)


class Batchable(Protocol):
    """Something to decode."""

    @property
    def group(self) -> Hashable:
        """Only what has the same may stand in one batch."""

    @property
    def cost(self) -> float:
        """What it costs alone; in a batch each costs as much as the dearest, by padding."""


Item = TypeVar("Item", bound=Batchable)
Result = TypeVar("Result")


class Full(Exception):
    """Too many decodes wait already."""


class Stuck(Exception):
    """The model has not come back from a run; until it does, nothing is asked of it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.over = asyncio.Event()
        """Set when it has come back."""


class DeviceLost(Exception):
    """The GPU is gone: only a new process can use it again."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of a batch, and of what waits for one."""

    items: int
    cost: float
    """Of one run: number of items times the dearest of them. One item alone always runs."""
    waiting: int
    """Finals and partials together, beside the run under way; one more raises Full."""
    run_s: float
    """A run that takes longer is taken for one that never ends."""


class Decode(NamedTuple, Generic[Item, Result]):
    """What was decoded, and what the model made of it."""

    item: Item
    result: Result


@dataclass(slots=True, eq=False)
class _Job(Generic[Item, Result]):
    make: Callable[[], Item]
    done: asyncio.Future[Decode[Item, Result]]
    came_s: float

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # marked as seen: a call that has gone asks for it no more


class _Row(NamedTuple, Generic[Item, Result]):
    """One line of a batch."""

    job: _Job[Item, Result]
    item: Item


class Batcher(Generic[Item, Result]):
    """The line before one model. Cancelling the future of a waiting decode takes it out."""

    def __init__(
        self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], bounds: Bounds
    ) -> None:
        """``run`` decodes a batch, results in its order, and is never asked twice at once."""
        self._run = run
        self._bounds = bounds
        SERVING.watch_queue(lambda: len(self._finals) + len(self._partials), bounds.waiting)
        self._finals: deque[_Job[Item, Result]] = deque()  # both bounded by _make_room
        self._partials: deque[_Job[Item, Result]] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._trouble: Exception | None = None

    def final(self, make: Callable[[], Item]) -> asyncio.Future[Decode[Item, Result]]:
        """Decode before all partials; where there is no room, the newest partial is cancelled.

        ``make`` is called when the model is free, and may be called more than once. Raises Full
        when nothing but finals waits, Stuck, DeviceLost.
        """
        self._check()
        if self._is_full() and self._partials:
            self._partials.pop().done.cancel()
        return self._add(self._finals, make)

    def partial(self, make: Callable[[], Item]) -> asyncio.Future[Decode[Item, Result]]:
        """Decode when no final waits. Raises Full (ask again later), Stuck, DeviceLost."""
        self._check()
        return self._add(self._partials, make)

    def _check(self) -> None:
        if self._trouble is not None:
            raise self._trouble
        for line in (self._finals, self._partials):
            for job in [job for job in line if job.done.cancelled()]:
                line.remove(job)

    def _add(
        self, line: deque[_Job[Item, Result]], make: Callable[[], Item]
    ) -> asyncio.Future[Decode[Item, Result]]:
        if self._is_full():
            raise Full
        loop = asyncio.get_running_loop()
        job = _Job[Item, Result](make, loop.create_future(), loop.time())
        line.append(job)
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return job.done

    def _is_full(self) -> bool:
        return len(self._finals) + len(self._partials) >= self._bounds.waiting

    async def _serve(self) -> None:
        """Run batches until nothing waits."""
        while line := self._finals or self._partials:
            batch = self._take(line)
            if batch:
                await self._decode(batch)

    def _take(self, line: deque[_Job[Item, Result]]) -> list[_Row[Item, Result]]:
        """The longest waiting, and those behind it that fit into its batch."""
        batch: list[_Row[Item, Result]] = []
        dearest = 0.0
        for job in list(line):
            if job.done.cancelled():
                line.remove(job)
                continue
            try:
                item = job.make()
            except Exception as e:  # the border of a job
                line.remove(job)
                job.fail(e)
                continue
            highest = max(dearest, item.cost)
            if batch and (
                item.group != batch[0].item.group or highest * (len(batch) + 1) > self._bounds.cost
            ):
                continue  # it keeps its place
            line.remove(job)
            batch.append(_Row(job, item))
            dearest = highest
            if len(batch) == self._bounds.items:
                break
        return batch

    async def _decode(self, batch: Sequence[_Row[Item, Result]]) -> None:
        """Run a batch; one that fails is run again item by item, to fail its culprit alone."""
        try:
            results = await self._within_time(batch)
        except DeviceLost as e:
            self._lose(batch, e)
            return
        except Exception as e:  # the border of a batch
            if len(batch) == 1:
                batch[0].job.fail(e)
                return
            _log.warning("! a batch of %d failed, each runs alone: %s", len(batch), reason_of(e))
            for row in batch:
                if self._trouble is None and not row.job.done.done():
                    await self._decode([row])
            return
        for row, result in zip(batch, results, strict=True):
            if not row.job.done.done():
                row.job.done.set_result(Decode(row.item, result))

    async def _within_time(self, batch: Sequence[_Row[Item, Result]]) -> Sequence[Result]:
        """A run that is late fails its own calls and all that wait, at once; then we wait on."""
        began_s = asyncio.get_running_loop().time()
        for row in batch:
            SERVING.queue_seconds.observe(began_s - row.job.came_s)
        run = asyncio.ensure_future(self._run([row.item for row in batch]))
        await asyncio.wait({run}, timeout=self._bounds.run_s)
        SERVING.ran(len(batch), asyncio.get_running_loop().time() - began_s)
        if not run.done():
            _log.error("! a run of the model takes longer than %g s", self._bounds.run_s)
            stuck = Stuck(f"a run takes longer than {self._bounds.run_s:g} s")
            self._lose(batch, stuck)
            await asyncio.wait({run})  # a thread cannot be stopped
            self._trouble = None
            stuck.over.set()
            _log.warning("= the model has come back")
        return run.result()

    def _lose(self, batch: Sequence[_Row[Item, Result]], error: Exception) -> None:
        self._trouble = error
        for job in (*(row.job for row in batch), *self._finals, *self._partials):
            job.fail(error)
        self._finals.clear()
        self._partials.clear()
