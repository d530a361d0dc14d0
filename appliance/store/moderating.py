"""Which calls are to be checked again, each taken by one process at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.events import CallRecord, Turn
from appliance.store.calls import CALL_COLUMNS, call_of, read_turns
from appliance.store.models import CallRow

SETTLE = timedelta(seconds=30)
"""After a call's end: its last rows are on their way from the worker's spool."""
OLDEST = timedelta(days=30)
"""Calls that ended before are left alone: on an appliance that is upgraded, the whole log."""


@dataclass(frozen=True, slots=True)
class WholeCall:
    """A call that is over, with its turns in order."""

    call: CallRecord
    turns: tuple[Turn, ...]


async def take_unmoderated(
    connection: AsyncConnection, now: datetime, besides: Collection[str] = ()
) -> WholeCall | None:
    """The call that ended first of those not checked yet, locked until the transaction ends; None
    when there is none. ``besides``: ids not to be taken.

    A call that went on after it was checked (another worker took it over) is to be checked again.
    """
    row = CallRow
    query = (
        select(*CALL_COLUMNS)
        .where(
            or_(row.moderated_at.is_(None), row.moderated_at < row.ended_at),  # the index's words
            row.ended_at.between(now - OLDEST, now - SETTLE),
            row.transcript_erased_at.is_(None),
            row.direction != "test",  # whoever tried the agent saw what was found
        )
        .order_by(row.ended_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if besides:
        query = query.where(row.call_id.not_in(sorted(besides)))
    found = (await connection.execute(query)).mappings().one_or_none()
    if found is None:
        return None
    call = call_of(found)
    return WholeCall(call, tuple(await read_turns(connection, call.call_id)))


async def mark_moderated(connection: AsyncConnection, call_id: str) -> None:
    """The call was checked, in this transaction."""
    # a worker's clock may be ahead of ours: checked is checked
    checked_at = func.greatest(func.now(), CallRow.ended_at)
    await connection.execute(
        update(CallRow).where(CallRow.call_id == call_id).values(moderated_at=checked_at)
    )
