"""The last minutes in a few numbers, for those who look after the box."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Float, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.knowledge_models import DocumentRow
from appliance.store.models import CallRow, TurnRow

RECENT = timedelta(minutes=15)
WAITING_LONG = timedelta(minutes=5)
"""A document that nobody has begun to read for so long waits for nobody."""


@dataclass(frozen=True, slots=True)
class Recent:
    """Of the last 15 minutes."""

    calls: int
    """Ended."""
    late_frames: int
    calls_with_late_frames: int
    turns: int
    failures: int
    """Turns in which something was not as meant."""
    gap_p50_ms: float | None
    gap_p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What background jobs have before them."""

    documents: int
    """Not read yet."""
    waiting_long: int
    """Of them, for more than five minutes and begun by nobody."""


async def read_recent(connection: AsyncConnection, now: datetime | None = None) -> Recent:
    """Of real calls that ended in the last 15 minutes, and of their turns."""
    since = (now or datetime.now(UTC)) - RECENT
    ended = CallRow.ended_at >= since
    real = CallRow.direction != "test"
    calls = (
        await connection.execute(
            select(
                func.count(),
                func.coalesce(func.sum(CallRow.late_frames), 0),
                func.count().filter(CallRow.late_frames > 0),
            ).where(ended, real)
        )
    ).one()
    share = (func.percentile_cont(share).within_group(TurnRow.gap_ms) for share in (0.5, 0.95))
    turns = (
        await connection.execute(
            select(
                func.count(),
                func.count().filter(TurnRow.failure != ""),
                *(cast(one, Float) for one in share),
            ).where(TurnRow.at >= since)
        )
    ).one()
    return Recent(calls[0], calls[1], calls[2], *turns)


async def read_backlog(connection: AsyncConnection, now: datetime | None = None) -> Backlog:
    """Documents that are not read yet."""
    long_ago = (now or datetime.now(UTC)) - WAITING_LONG
    waiting = DocumentRow.state == "waiting"
    found = (
        await connection.execute(
            select(
                func.count().filter(DocumentRow.state.in_(("waiting", "reading", "embedding"))),
                func.count().filter(waiting, DocumentRow.updated_at < long_ago),
            )
        )
    ).one()
    return Backlog(found[0], found[1])


async def server_version(connection: AsyncConnection) -> str:
    """Of Postgres."""
    version: str = await connection.scalar(text("SHOW server_version")) or ""
    return version
