"""What was said before: a call that another worker carried, or one that was cut off and goes on in
this one, read back when it comes to us."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.call.history import History
from appliance.errors import reason_of
from appliance.events import Agent, CallRecord, Offer, Turn
from appliance.numbers import tells_who
from appliance.store.calls import read_past
from appliance.store.cutoff import read_cut_off
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
MOST_CONTINUED = 3
"""Calls cut off one after the other, of which what is not in a summary yet is read."""

T = TypeVar("T")
_Away = (SQLAlchemyError, OSError, TimeoutError)


@dataclass(frozen=True)
class Past:
    """A call before it came to this worker."""

    call: CallRecord | None = None
    turns: tuple[Turn, ...] = ()
    last_index: int = 0
    """The next turn's row has the index after this."""
    continues: str = ""
    """Id of the call that was cut off and goes on in this one."""
    memory: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    earlier: tuple[Turn, ...] = ()
    """Turns of the call that this one continues, as far as ``memory`` does not hold them."""

    @property
    def started_at(self) -> datetime | None:
        """When its first part began."""
        return self.call.started_at if self.call else None

    def history(self) -> History:
        """What the agent knows of it."""
        remembered = self.call.remembered if self.call else 0
        history = History(self.memory, self.facts, remembered)
        for turn in self.earlier:
            history.add(turn.said, turn.heard)
        for turn in self.turns:
            if turn.index > remembered:
                history.add(turn.said, turn.heard, turn.index)
        return history


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
        unknown = (offer.part - 1) * INDEX_GAP
        found = await self._look(call_log, "without its history", self._read(offer.call_id))
        if found is None:
            return Past(last_index=unknown)
        call, last = found.call, found.last_index
        if call is None:
            call_log.warning("! the call goes on without its history: there is no row of it")
            return Past(last_index=unknown)
        whole = call.ended_at is not None and call.part >= offer.part - 1
        call_log.info("= part %d: %d turns read back", offer.part, len(found.turns))
        return replace(found, last_index=last if whole else max(last, unknown))

    async def cut_off(self, offer: Offer, agent: Agent) -> Past:
        """The call of the same caller that this new one goes on with, if there is one; within half a
        second, and never raises.

        Only for an agent with ``continue_minutes``, and a caller who shows a number.
        """
        if (
            not (agent.continue_minutes and tells_who(offer.caller))
            or offer.part > 1
            or offer.direction != "in"
        ):
            return Past()
        call_log = CallLog(__name__, offer.call_id)
        since = datetime.now(UTC) - timedelta(minutes=agent.continue_minutes)
        work = self._read_cut_off(offer, agent, since)
        found = await self._look(call_log, "without what went before", work)
        if found is None or not found.continues:
            return Past()
        count = len(found.earlier)
        call_log.info("= goes on with call %s: %d turns read back", found.continues, count)
        return found

    async def _look(
        self, call_log: CallLog, how: str, work: Coroutine[Any, Any, Past]
    ) -> Past | None:
        """Bring the rows that are on their way to Postgres, then do ``work``; None when it fails."""
        try:
            await self._within(STORE_TIMEOUT_S, self._store())
        except _Away as e:
            call_log.warning("! rows of an earlier part may be missing: %s", reason_of(e))
        except asyncio.CancelledError:
            work.close()
            raise
        except Exception:  # a spool that cannot be read: the border of a job
            call_log.exception("! rows of an earlier part may be missing")
        try:
            return await self._within(READ_TIMEOUT_S, work)
        except _Away as e:
            call_log.warning("! the call goes on %s: %s", how, reason_of(e))
        except Exception:  # a row that cannot be read: the border of a job
            call_log.exception("! the call goes on %s", how)
        return None

    async def _read(self, call_id: str) -> Past:
        found = await read_past(self._engine, call_id)
        if found is None:
            return Past()
        call, turns = found
        memory, facts, earlier = await self._before(call)
        last = turns[-1].index if turns else 0
        return Past(call, tuple(turns), last, call.continues, memory, facts, earlier)

    async def _read_cut_off(self, offer: Offer, agent: Agent, since: datetime) -> Past:
        found = await read_cut_off(self._engine, offer.call_id, offer.caller, agent.id, since)
        if found is None:
            return Past()
        call, turns = found
        memory, facts, earlier = await self._before(call)
        earlier += tuple(turn for turn in turns if turn.index > call.remembered)
        return Past(continues=call.call_id, memory=memory, facts=facts, earlier=earlier)

    async def _before(
        self, call: CallRecord, deep: int = 0
    ) -> tuple[str, Mapping[str, str], tuple[Turn, ...]]:
        """What was known when a call began, and of it what its own memory does not hold: memory,
        facts, turns of the call that it continues."""
        if not call.continues or call.remembered or deep >= MOST_CONTINUED:
            return call.memory, call.facts, ()
        found = await read_past(self._engine, call.continues)
        if found is None:
            return call.memory, call.facts, ()
        before, turns = found
        memory, facts, earlier = await self._before(before, deep + 1)
        earlier += tuple(turn for turn in turns if turn.index > before.remembered)
        return call.memory or memory, {**facts, **call.facts}, earlier

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
