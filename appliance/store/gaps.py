"""What callers waited for their answers: over time, and against the calls in progress.

As in ``store.analytics``: read only, in bins of ``histogram.BIN_MS`` that Postgres counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Select, and_, cast, func, literal, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.analytics import MOST_GROUPS, Scope, Unit, bucket, calls_in
from appliance.store.calls import LONGEST_CALL
from appliance.store.endings import COUNTS
from appliance.store.histogram import BIN_MS
from appliance.store.models import CallRow, TurnRow
from appliance.store.tenancy import of_visible_agent

SAMPLED_TURNS = 80_000
"""Of a range, for gaps against concurrency: a p95 of a tenth of them is right to a percent."""
LONGEST_GAP_MS = 120_000
"""A longer gap is a mistake in a row."""


@dataclass(frozen=True, slots=True)
class GapBin:
    """``turns`` whose gap lies in one bin of ``histogram.BIN_MS``."""

    at: datetime
    agent_id: str
    language: str
    bin: int
    turns: int


@dataclass(frozen=True, slots=True)
class LoadBin:
    """``turns`` that were answered while ``live`` calls were in progress, with a gap in one bin."""

    live: int
    bin: int
    turns: int


async def read_gaps(connection: AsyncConnection, scope: Scope, unit: Unit) -> list[GapBin]:
    """How long callers waited for each answer, in bins."""
    number = (TurnRow.gap_ms // BIN_MS).label("bin")
    at = bucket(TurnRow.at, unit, scope).label("at")
    query = _gaps(scope, at, CallRow.agent_id, CallRow.language, number, func.count()).group_by(
        at, CallRow.agent_id, CallRow.language, number
    )
    return [GapBin(*row) for row in await connection.execute(query.limit(MOST_GROUPS))]


def _gaps(scope: Scope, *columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .join_from(TurnRow, CallRow, CallRow.call_id == TurnRow.call_id)
        .where(
            calls_in(scope),
            TurnRow.at >= scope.since,
            TurnRow.at < scope.until + LONGEST_CALL,
            TurnRow.gap_ms.between(0, LONGEST_GAP_MS),
        )
    )


async def count_gaps(connection: AsyncConnection, scope: Scope) -> int:
    """Answered turns of its time, whoever's: from the index alone, to choose a sample's size."""
    query = select(func.count(TurnRow.gap_ms)).where(
        TurnRow.at >= scope.since, TurnRow.at < scope.until
    )
    return int(await connection.scalar(query) or 0)


async def read_load(connection: AsyncConnection, scope: Scope, turns: int) -> list[LoadBin]:
    """Gaps by how many calls were in progress when the turn was over. All of the tenant's calls count
    as load, whichever agent the gaps are of. ``turns``: how many there are; of more than
    ``SAMPLED_TURNS`` some calls stand for all.
    """
    near = and_(
        CallRow.started_at >= scope.since - LONGEST_CALL,
        CallRow.started_at < scope.until + LONGEST_CALL,
        COUNTS,
        of_visible_agent(CallRow.agent_id, scope.tenant),
        CallRow.ended_at > CallRow.started_at,
    )
    nothing = cast(null(), Integer)
    gaps = _gaps(scope, TurnRow.at, literal(0), TurnRow.gap_ms)
    every = max(1, turns // SAMPLED_TURNS)
    if every > 1:
        gaps = gaps.where(func.abs(func.hashtext(TurnRow.call_id)) % every == 0)
    events = union_all(
        select(CallRow.started_at.label("at"), literal(1).label("change"), nothing.label("gap_ms"))
        .where(near),
        select(CallRow.ended_at, literal(-1), nothing).where(near),
        gaps,
    ).subquery()  # fmt: skip
    # of what happens at the same moment, beginnings come first and ends last
    order = (events.c.at, events.c.change.desc())
    live = func.sum(events.c.change).over(order_by=order, rows=(None, 0))
    swept = select(live.label("live"), events.c.gap_ms).subquery()
    number = swept.c.gap_ms // BIN_MS
    calls = cast(func.greatest(1, swept.c.live), Integer)
    query = (
        select(calls, number, func.count())
        .where(swept.c.gap_ms.is_not(None))
        .group_by(calls, number)
        .limit(MOST_GROUPS)
    )
    return [LoadBin(*row) for row in await connection.execute(query)]
