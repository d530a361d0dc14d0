"""The call of the same caller that was cut off a moment ago."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.events import CallRecord, Turn
from appliance.store.calls import CALL_COLUMNS, LONGEST_CALL, call_of, read_turns
from appliance.store.models import CallRow


async def read_cut_off(
    engine: AsyncEngine, call_id: str, caller: str, agent_id: str, since: datetime
) -> tuple[CallRecord, list[Turn]] | None:
    """The latest call before ``call_id`` from ``caller`` to this agent and its turns, if it was cut
    off after ``since`` and no other call has gone on with it.

    Raises SQLAlchemyError or OSError when Postgres is away.
    """
    latest = (
        select(*CALL_COLUMNS)
        .where(
            CallRow.caller == caller,
            CallRow.started_at >= since - LONGEST_CALL,
            CallRow.agent_id == agent_id,
            CallRow.direction == "in",
            CallRow.call_id != call_id,
        )
        .order_by(CallRow.started_at.desc())
        .limit(1)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(latest)).mappings().one_or_none()
        if row is None:
            return None
        call = call_of(row)
        turns = await read_turns(connection, call.call_id)
        if not was_cut_off(call, turns, since):
            return None
        gone_on = exists().where(
            CallRow.caller == caller,
            CallRow.started_at >= call.started_at,
            CallRow.continues == call.call_id,
            CallRow.call_id != call_id,
        )
        if await connection.scalar(select(gone_on)):
            return None
    return call, turns


def was_cut_off(call: CallRecord, turns: Sequence[Turn], since: datetime) -> bool:
    """Whether a call ended, after ``since``, before its caller was done: they said something, nobody
    took the call over, and it ended without a goodbye to them.

    Where the line broke without a word (no BYE), the agent asks whether they are still there: such a
    call counts too, over or not yet.
    """
    if call.transferred_to or not any(turn.said for turn in turns):
        return False
    last = turns[-1]
    if call.ended_at is None:
        return last.source == "prompt" and last.at >= since
    if call.ended_at < since:
        return False
    if last.source == "goodbye":
        return not last.said and len(turns) > 1 and turns[-2].source == "prompt"
    return call.ended_by != "agent"
