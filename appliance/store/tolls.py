"""What has been talked through the trunks since a time, to people whom we rang. Synchronous."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from appliance.store.models import AgentRow, CallRow, LegRow

RUNG_KINDS = ("callee", "person")
MOST_LEGS = 50_000
"""Of a day; of more, the latest are read: the limits on minutes are long used up by then."""


@dataclass(frozen=True, slots=True)
class RungLeg:
    """One leg that is over. Times are aware."""

    leg_id: str
    call_id: str
    callee: str
    trunk: str
    tenant: str
    """Whose agent rang; empty where that is not known."""
    answered_at: datetime
    ended_at: datetime


def rung_since(connection: Connection, since: datetime) -> list[RungLeg]:
    """Legs that were answered and have ended after ``since``, oldest end first."""
    query = (
        select(
            LegRow.leg_id, LegRow.call_id, LegRow.callee, LegRow.trunk,
            func.coalesce(AgentRow.tenant, "").label("tenant"), LegRow.answered_at, LegRow.ended_at,
        )
        .outerjoin(CallRow, CallRow.call_id == LegRow.call_id)
        .outerjoin(AgentRow, AgentRow.id == CallRow.agent_id)
        .where(
            LegRow.started_at > since, LegRow.kind.in_(RUNG_KINDS), LegRow.trunk != "",
            LegRow.answered_at.is_not(None), LegRow.ended_at > since,
        )
        .order_by(LegRow.ended_at.desc())
        .limit(MOST_LEGS)
    )  # fmt: skip
    found = [RungLeg(**row._mapping) for row in connection.execute(query)]
    return found[::-1]
