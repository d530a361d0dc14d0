"""Spans of recordings that must not be heard: which are left to be beeped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.store.calls import SURELY_OVER
from appliance.store.models import CallRow
from appliance.store.review_models import RedactionRow


@dataclass(frozen=True, slots=True)
class Pending:
    """One span that is not known to be beeped yet."""

    call_id: str
    side: str
    recording: str
    begin_ms: int
    end_ms: int
    erased: bool
    """Its recording was erased."""


async def pending(
    engine: AsyncEngine, ended_before: datetime, after: tuple[str, str], limit: int
) -> list[Pending]:
    """Spans in recordings of calls that ended before that, in order of (recording, call).

    ``after``: the (recording, call id) read last; ``limit`` recordings at most, each with all its
    spans. A call whose row is still on its way is left for later.
    """
    files = (
        select(RedactionRow.recording, RedactionRow.call_id)
        .join(CallRow, CallRow.call_id == RedactionRow.call_id)
        .where(
            RedactionRow.beeped_at.is_(None),
            tuple_(RedactionRow.recording, RedactionRow.call_id) > after,
            or_(CallRow.ended_at < ended_before, CallRow.started_at < ended_before - SURELY_OVER),
        )
        .distinct()
        .order_by(RedactionRow.recording, RedactionRow.call_id)
        .limit(limit)
        .subquery()
    )
    spans = (
        select(
            RedactionRow.call_id,
            RedactionRow.side,
            RedactionRow.recording,
            RedactionRow.begin_ms,
            RedactionRow.end_ms,
            CallRow.recording_erased_at.is_not(None).label("erased"),
        )
        .join(
            files,
            (files.c.recording == RedactionRow.recording)
            & (files.c.call_id == RedactionRow.call_id),
        )
        .join(CallRow, CallRow.call_id == RedactionRow.call_id)
        .where(RedactionRow.beeped_at.is_(None))
        .order_by(RedactionRow.recording, RedactionRow.call_id)
    )
    async with engine.connect() as connection:
        rows = await connection.execute(spans)
        return [Pending(**row) for row in rows.mappings()]


async def mark_beeped(engine: AsyncEngine, spans: Sequence[Pending]) -> None:
    """Note that these spans can be heard by nobody any more."""
    if not spans:
        return
    keys = [(s.call_id, s.side, s.recording, s.begin_ms) for s in spans]
    statement = (
        update(RedactionRow)
        .where(
            tuple_(
                RedactionRow.call_id,
                RedactionRow.side,
                RedactionRow.recording,
                RedactionRow.begin_ms,
            ).in_(keys)
        )
        .values(beeped_at=func.now())
    )
    async with engine.begin() as connection:
        await connection.execute(statement)
