"""Call detail records: one row for each leg, written by ``ivr switch``, and its word on the call.

Synchronous, and safe to repeat: a write that failed is simply done again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from appliance.store.models import CallRow, LegRow

LOST_CAUSES = ("", "NETWORK_OUT_OF_ORDER")
"""What a worker writes of a call whose true end it could not see."""
_TEXTS = ("trunk", "caller", "callee", "cause", "ended_by", "codec", "note")
_NUMBERS = ("cause_code", "sip_status")


@dataclasses.dataclass(frozen=True, slots=True)
class Leg:
    """One channel of FreeSWITCH; the columns of ``models.LegRow``. Times are aware."""

    leg_id: str
    call_id: str
    kind: Literal["caller", "callee", "person", "supervisor"]
    started_at: datetime
    trunk: str = ""
    caller: str = ""
    callee: str = ""
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    cause: str = ""
    """Q.850 words and number; empty and 0 while it lives."""
    cause_code: int = 0
    sip_status: int = 0
    ended_by: Literal["", "us", "them"] = ""
    codec: str = ""
    note: str = ""


def upsert_leg(connection: Connection, leg: Leg) -> None:
    """Write ``leg``; what it does not know (empty, 0, None) is kept as it was.

    Of two ends the later one stays, and a row that has ended does not live again.
    """
    statement = insert(LegRow).values(dataclasses.asdict(leg))
    new = statement.excluded
    changes: dict[str, Any] = {
        "call_id": new.call_id,
        "kind": new.kind,
        "started_at": func.least(LegRow.started_at, new.started_at),
        "answered_at": func.coalesce(LegRow.answered_at, new.answered_at),
        "ended_at": func.coalesce(new.ended_at, LegRow.ended_at),
    }
    changes |= {n: func.coalesce(func.nullif(new[n], ""), LegRow.__table__.c[n]) for n in _TEXTS}
    changes |= {n: func.coalesce(func.nullif(new[n], 0), LegRow.__table__.c[n]) for n in _NUMBERS}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[LegRow.leg_id],
            set_=changes,
            where=or_(LegRow.ended_at.is_(None), new.ended_at >= LegRow.ended_at),
        )
    )


def legs_of(connection: Connection, call_id: str) -> list[Leg]:
    """Every leg of a call, in the order in which they began."""
    query = select(*LegRow.__table__.columns).where(LegRow.call_id == call_id)
    rows = connection.execute(query.order_by(LegRow.started_at, LegRow.leg_id))
    return [Leg(**row._mapping) for row in rows]


def close_lost_legs(
    connection: Connection, living: Iterable[str], at: datetime, cause: str
) -> list[str]:
    """End every open leg whose id is not among ``living``; the ids of those ended."""
    change = (
        update(LegRow)
        .where(LegRow.ended_at.is_(None), LegRow.leg_id.not_in(list(living)))
        .values(ended_at=func.greatest(at, LegRow.started_at), cause=cause)
        .returning(LegRow.leg_id)
    )
    return list(connection.execute(change).scalars())


def complete_call(
    connection: Connection,
    call_id: str,
    *,
    cause: str = "",
    transferred_to: str = "",
    ended_at: datetime | None = None,
) -> bool:
    """Give the call's own row the end that only the switch saw; False when it needs none.

    ``cause`` and ``ended_at`` only where the worker wrote no cause, or NETWORK_OUT_OF_ORDER. Empty
    values change nothing.
    """
    values: dict[str, Any] = {}
    mine = update(CallRow).where(CallRow.call_id == call_id)
    if transferred_to:
        connection.execute(mine.values(transferred_to=transferred_to))
    if cause:
        values["cause"] = cause
    if ended_at:
        values["ended_at"] = func.coalesce(CallRow.ended_at, ended_at)
    if not values:
        return False
    change = mine.where(CallRow.cause.in_(LOST_CAUSES))
    return connection.execute(change.values(values)).rowcount > 0
