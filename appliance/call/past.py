"""What was said before: a call that another worker carried, read back when it comes to us."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import reason_of
from appliance.events import CallRecord, Offer, Turn
from appliance.store.calls import read_past
from appliance.telemetry import CallLog

log = logging.getLogger(__name__)

STORE_TIMEOUT_S = 0.2
"""For rows that are still on their way, ours and those that a dead worker left on this machine."""
READ_TIMEOUT_S = 0.3
LIMIT_S = 10.0
"""What nobody waits for any more is given up after this."""
INDEX_GAP = 1000
"""Between the turns of two parts where it is not known how many the earlier one had: rows of it may
come later, and must find their place free. No call has so many turns."""

T = TypeVar("T")
_Away = (SQLAlchemyError, OSError, TimeoutError)


@dataclass(frozen=True)
class Past:
    """A call before it came to this worker."""

    call: CallRecord | None = None
    turns: tuple[Turn, ...] = ()
    last_index: int = 0
    """The next turn's row has the index after this."""

    @property
    def started_at(self) -> datetime | None:
        """When its first part began."""
        return self.call.started_at if self.call else None


class Journal(Protocol):
    """What brings rows to Postgres."""

    async def flush(self, timeout_s: float) -> bool:
        """Wait until our own rows are there."""

    async def take_over(self) -> None:
        """Store what dead processes left."""


class PastCalls:
    """Reads the past of calls that are handed over; one a worker."""

    def __init__(self, engine: AsyncEngine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        self._let_go: set[asyncio.Task[Any]] = set()

    async def of(self, offer: Offer) -> Past:
        """What is known of the call offered, within half a second; never raises.

        Without Postgres the call goes on without its history, and the log says so.
        """
        if offer.part == 1:
            return Past()
        call_log = CallLog(__name__, offer.call_id)
        try:
            await self._within(STORE_TIMEOUT_S, self._store())
        except _Away as e:
            call_log.warning("! rows of the call's earlier part may be missing: %s", reason_of(e))
        unknown = (offer.part - 1) * INDEX_GAP
        try:
            found = await self._within(READ_TIMEOUT_S, read_past(self._engine, offer.call_id))
        except _Away as e:
            call_log.warning("! the call goes on without its history: %s", reason_of(e))
            return Past(last_index=unknown)
        except Exception:  # a row that cannot be read: the border of a job
            call_log.exception("! the call goes on without its history")
            return Past(last_index=unknown)
        if found is None:
            call_log.warning("! the call goes on without its history: there is no row of it")
            return Past(last_index=unknown)
        call, turns = found
        last = turns[-1].index if turns else 0
        whole = call.ended_at is not None and call.part >= offer.part - 1
        call_log.info("= part %d: %d turns read back", offer.part, len(turns))
        return Past(call, tuple(turns), last if whole else max(last, unknown))

    async def close(self) -> None:
        """Give up what still hangs."""
        for _ in range(2):  # the second cancel makes psycopg drop the connection at once
            for task in self._let_go:
                task.cancel()
            if self._let_go:
                await asyncio.wait(set(self._let_go), timeout=1.0)

    async def _store(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(self._journal.flush(STORE_TIMEOUT_S), self._journal.take_over())

    async def _within(self, timeout_s: float, work: Coroutine[Any, Any, T]) -> T:
        """Wait no longer; a timeout that cancels would wait for psycopg, which waits for the
        server to agree to it."""

        async def limited() -> T:
            async with asyncio.timeout(LIMIT_S):
                return await work

        task = asyncio.create_task(limited())
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        except asyncio.CancelledError:
            self._leave(task)
            raise
        if done:
            return task.result()
        self._leave(task)
        raise TimeoutError(f"Postgres did not answer within {timeout_s * 1000:.0f} ms")

    def _leave(self, task: asyncio.Task[Any]) -> None:
        self._let_go.add(task)
        task.add_done_callback(self._came_late)

    def _came_late(self, task: asyncio.Task[Any]) -> None:
        self._let_go.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.debug("! a look-up that nobody waited for has failed: %s", reason_of(error))
