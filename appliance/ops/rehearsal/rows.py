"""The journal's rows of a rehearsal's calls, once the worker has written them."""

from __future__ import annotations

import asyncio
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.rehearsal.climb import Climbed, Target
from appliance.settings import Settings
from appliance.store.database import answer
from appliance.store.measures import MeasuredCall, calls_of_rehearsal

ROWS_TIMEOUT_S = 15.0
MOST_S = 3 * ROWS_TIMEOUT_S
"""The last question may be asked just before the others' time is over."""
ROWS_EVERY_S = 0.25


def rows_of(
    settings: Settings, target: Target, climbed: Climbed
) -> tuple[list[MeasuredCall], tuple[str, ...]]:
    """The rows of the rehearsal's calls, once the journal has written them; and what is missing."""
    answered = sum(
        1 for step in climbed.steps for call in step.rehearsal.calls if len(call.frames.late_ms)
    )
    try:
        calls = answer(settings, lambda engine: _rows(engine, target, answered), MOST_S)
    except UserError as e:
        return [], (f"The journal could not be read, so nothing is known of the stages. {e}",)
    if not calls:
        return [], (
            "The database of these settings has no row of these calls: another appliance answered.",
        )
    missing = answered - len(calls)
    return calls, (f"{missing} calls have no row in the journal.",) if missing > 0 else ()


async def _rows(engine: AsyncEngine, target: Target, answered: int) -> list[MeasuredCall]:
    """Without the first call, which only asked who is there."""
    begin_s = time.monotonic()
    while True:
        async with asyncio.timeout(ROWS_TIMEOUT_S):
            found = await calls_of_rehearsal(engine, target.run)
        calls = [call for call in found if not call.rehearsal.startswith(target.caller(0))]
        if len(calls) >= answered and all(_is_whole(call) for call in calls):
            return calls
        if time.monotonic() - begin_s > ROWS_TIMEOUT_S:
            return calls
        await asyncio.sleep(ROWS_EVERY_S)


def _is_whole(call: MeasuredCall) -> bool:
    return call.ended_at is not None and len(call.turns) >= call.said_turns
