"""Reading the journal: which calls there were, how fast they were answered, what was said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Float, RowMapping, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.events import CallRecord, Turn
from appliance.store.models import CallRow, TurnRow

AMBIGUOUS_SHOWN = 5
LONGEST_CALL = timedelta(days=1)
"""A call that began longer ago and has no end was lost with its worker."""
SURELY_OVER = 2 * LONGEST_CALL
"""The same for what cannot be undone: erasing its row, changing its recording."""
CALL_COLUMNS = tuple(CallRow.__table__.columns)

_CALL = TypeAdapter(CallRecord)
_TURN = TypeAdapter(Turn)
_TURN_COLUMNS = tuple(TurnRow.__table__.columns)


@dataclass(frozen=True, slots=True)
class CallSummary:
    """A call and the gaps its caller heard, over the turns that answered the caller."""

    call: CallRecord
    gap_p50_ms: float | None
    gap_p95_ms: float | None


async def list_calls(
    engine: AsyncEngine,
    *,
    limit: int = 20,
    agent_id: str | None = None,
    since: datetime | None = None,
) -> list[CallSummary]:
    """The latest calls, newest first. ``turns`` counts the rows written so far for a live call."""
    query = select(*CALL_COLUMNS).order_by(CallRow.started_at.desc()).limit(limit)
    if agent_id is not None:
        query = query.where(CallRow.agent_id == agent_id)
    if since is not None:
        query = query.where(CallRow.started_at >= since)
    calls = query.subquery()
    gaps = (
        select(
            func.count().label("written"),
            *(
                cast(func.percentile_cont(share).within_group(TurnRow.gap_ms), Float).label(name)
                for share, name in ((0.5, "p50"), (0.95, "p95"))
            ),
        )
        .where(TurnRow.call_id == calls.c.call_id)
        .lateral("gaps")
    )
    both = select(calls, gaps).join_from(calls, gaps, gaps.c.written >= 0)
    async with engine.connect() as connection:
        rows = await connection.execute(both.order_by(calls.c.started_at.desc()))
    return [
        CallSummary(
            call_of(dict(row) | {"turns": max(row["turns"], row["written"])}),
            row["p50"],
            row["p95"],
        )
        for row in rows.mappings()
    ]


async def read_call(engine: AsyncEngine, prefix: str) -> tuple[CallRecord, list[Turn]]:
    """The call whose id begins with ``prefix``, and its turns in order.

    Raises UserError when no call or more than one begins so.
    """
    matching = (
        select(*CALL_COLUMNS)
        .where(CallRow.call_id.startswith(prefix, autoescape=True))
        .order_by(CallRow.call_id != prefix, CallRow.started_at.desc())
        .limit(AMBIGUOUS_SHOWN + 1)
    )
    async with engine.connect() as connection:
        calls = (await connection.execute(matching)).mappings().all()
        if not calls or not prefix:
            raise UserError(f"There is no call {prefix!r}. `ivr calls` lists those there are.")
        if len(calls) > 1 and calls[0]["call_id"] != prefix:
            ids = ", ".join(row["call_id"] for row in calls[:AMBIGUOUS_SHOWN])
            more = ", …" if len(calls) > AMBIGUOUS_SHOWN else ""
            raise UserError(f"Several calls begin with {prefix!r}: {ids}{more}. Write more of it.")
        call = call_of(calls[0])
        return call, await read_turns(connection, call.call_id)


async def read_past(engine: AsyncEngine, call_id: str) -> tuple[CallRecord, list[Turn]] | None:
    """A call by its whole id, with its turns in order, or None when there is no row of it yet.

    Raises SQLAlchemyError or OSError when Postgres is away.
    """
    async with engine.connect() as connection:
        found = await connection.execute(select(*CALL_COLUMNS).where(CallRow.call_id == call_id))
        row = found.mappings().one_or_none()
        return None if row is None else (call_of(row), await read_turns(connection, call_id))


def call_of(row: RowMapping | dict[str, Any]) -> CallRecord:
    """The call of a row that has all of :data:`CALL_COLUMNS`."""
    return _CALL.validate_python(dict(row))


async def read_turns(connection: AsyncConnection, call_id: str) -> list[Turn]:
    """The turns of a call, in order."""
    mine = TurnRow.call_id == call_id
    rows = await connection.execute(select(*_TURN_COLUMNS).where(mine).order_by(TurnRow.index))
    return [_TURN.validate_python(dict(row)) for row in rows.mappings()]
