"""The calls of campaigns on the list of calls to be made: what is under way, over, or taken back.

The feeder's, in ``ivr jobs``; ``ivr switch`` changes the same rows (``outbound``), and whoever locks a
row of ``outbound_calls`` first has its way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.campaigns import IS_QUEUED, ContactState
from appliance.store.models import OutboundRow
from appliance.store.outbound import CANCELLED, LOST, OVER
from appliance.store.outreach_models import CampaignRow, ContactRow


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a campaign that is over."""

    contact_id: int
    attempts: int
    """Calls to this contact before."""
    max_attempts: int
    retry_after_s: int
    outcome: str
    """done, failed or refused."""
    result: str
    call_id: str
    ended_at: datetime | None


async def under_way(connection: AsyncConnection) -> dict[int, Counter[str]]:
    """Calls of each campaign on the list by their state: waiting, dialling, talking."""
    query = (
        select(ContactRow.campaign_id, OutboundRow.state, func.count())
        .join(OutboundRow, OutboundRow.id == ContactRow.outbound_id)
        .where(IS_QUEUED, OutboundRow.state.not_in(OVER))
        .group_by(ContactRow.campaign_id, OutboundRow.state)
    )
    found: dict[int, Counter[str]] = {}
    for id_, state, count in await connection.execute(query):
        found.setdefault(id_, Counter())[state] = count
    return found


async def coming(connection: AsyncConnection, before: datetime) -> int:
    """Calls on the list, whoever's, that ring or are due until then and that no worker has yet."""
    due = and_(OutboundRow.state == "waiting", OutboundRow.next_at <= before)
    query = (
        select(func.count())
        .select_from(OutboundRow)
        .where(or_(OutboundRow.state == "dialling", due))
    )
    return int((await connection.execute(query)).scalar_one())


async def calls_over(connection: AsyncConnection, limit: int) -> list[Call]:
    """Calls of contacts that are queued and whose row is over, or is not there any more; locked."""
    lost = OutboundRow.id.is_(None)
    query = (
        select(
            ContactRow.id,
            ContactRow.attempts,
            CampaignRow.max_attempts,
            CampaignRow.retry_after_s,
            case((lost, "failed"), else_=OutboundRow.state),
            case((lost, LOST), else_=OutboundRow.result),
            func.coalesce(OutboundRow.call_id, ""),
            OutboundRow.ended_at,
        )
        .join(CampaignRow, CampaignRow.id == ContactRow.campaign_id)
        .outerjoin(OutboundRow, OutboundRow.id == ContactRow.outbound_id)
        .where(
            IS_QUEUED,
            or_(lost, OutboundRow.state.in_(OVER)),
        )
        .order_by(ContactRow.id)
        .limit(limit)
        .with_for_update(of=ContactRow, skip_locked=True)
    )
    return [Call(*row) for row in await connection.execute(query)]


async def settle_contacts(connection: AsyncConnection, changes: list[Mapping[str, Any]]) -> None:
    """Each change: contact_id, state, result, call_id, attempts, next_at, called_at."""
    names = ("state", "result", "call_id", "attempts", "next_at", "called_at")
    statement = (
        update(ContactRow.__table__)  # type: ignore[arg-type]
        .where(ContactRow.__table__.c.id == bindparam("contact_id"))
        .values({name: bindparam(f"new_{name}") for name in names} | {"outbound_id": ""})
    )
    rows = [
        {"contact_id": change["contact_id"]} | {f"new_{name}": change[name] for name in names}
        for change in changes
    ]
    await connection.execute(statement, rows)


async def take_back(connection: AsyncConnection, campaign_id: int, now: datetime) -> int:
    """Take the calls of a campaign that wait off the list; their contacts wait again. Those that ring
    or talk go on. How many were taken back."""
    rows = (
        select(OutboundRow.id)
        .join(ContactRow, ContactRow.outbound_id == OutboundRow.id)
        .where(
            ContactRow.campaign_id == campaign_id,
            IS_QUEUED,
            OutboundRow.state == "waiting",
        )
        .with_for_update(of=OutboundRow)
    )
    ids = list(await connection.scalars(rows))
    if not ids:
        return 0
    gone = (
        update(OutboundRow)
        .where(OutboundRow.id.in_(ids))
        .values(state="refused", result=CANCELLED, ended_at=now)
    )
    await connection.execute(gone)
    back = (
        update(ContactRow)
        .where(ContactRow.campaign_id == campaign_id, ContactRow.outbound_id.in_(ids))
        .values(state=ContactState.WAITING, outbound_id="", updated_at=func.now())
    )
    await connection.execute(back)
    return len(ids)
