"""The journal's rows of a rehearsal's calls, once the worker has written them."""

from __future__ import annotations

import asyncio
import time

from sqlalchemy.exc import SQLAlchemyError

from appliance.rehearsal.climb import Climbed, Target
from appliance.settings import Settings
from appliance.store.database import database_url, explain, open_engine
from appliance.store.measures import MeasuredCall, calls_of_rehearsal

ROWS_TIMEOUT_S = 15.0
ROWS_EVERY_S = 0.25


def rows_of(
    settings: Settings, target: Target, climbed: Climbed
) -> tuple[list[MeasuredCall], tuple[str, ...]]:
    """The rows of the rehearsal's calls, once the journal has written them; and what is missing."""
    answered = sum(
        1 for step in climbed.steps for call in step.rehearsal.calls if len(call.frames.late_ms)
    )
    try:
        calls = asyncio.run(_rows(settings, target, answered))
    except (SQLAlchemyError, OSError, TimeoutError) as e:
        why = explain(database_url(settings), e)
        return [], (f"The journal could not be read, so nothing is known of the stages. {why}",)
    if not calls:
        return [], (
            "The database of these settings has no row of these calls: another appliance answered.",
        )
    missing = answered - len(calls)
    return calls, (f"{missing} calls have no row in the journal.",) if missing > 0 else ()


async def _rows(settings: Settings, target: Target, answered: int) -> list[MeasuredCall]:
    """Without the first call, which only asked who is there."""
    url = database_url(settings)
    engine = open_engine(url, connect_timeout_s=settings.database.connect_timeout_s, pool_size=1)
    begin_s = time.monotonic()
    try:
        while True:
            async with asyncio.timeout(ROWS_TIMEOUT_S):
                found = await calls_of_rehearsal(engine, target.run)
            calls = [call for call in found if not call.rehearsal.startswith(target.caller(0))]
            if len(calls) >= answered and all(_is_whole(call) for call in calls):
                return calls
            if time.monotonic() - begin_s > ROWS_TIMEOUT_S:
                return calls
            await asyncio.sleep(ROWS_EVERY_S)
    finally:
        await engine.dispose()


def _is_whole(call: MeasuredCall) -> bool:
    return call.ended_at is not None and len(call.turns) >= call.said_turns
