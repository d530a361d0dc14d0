"""Numbers as people of a tenant see them, and what happened on the trunks lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.access_models import TenantRow
from appliance.store.models import AgentRow, AgentVersionRow, LegRow, NumberRow
from appliance.store.tenancy import visible_agents

USUAL_CAUSES = (0, 16, 17, 18, 19, 31)
"""Q.850: normal clearing, busy, no response, no answer, unspecified: nothing of these is a trunk's."""
CALLED_OFF = ("ORIGINATOR_CANCEL", "LOSE_RACE", "PICKED_OFF", "ATTENDED_TRANSFER", "BLIND_TRANSFER")


@dataclass(frozen=True, slots=True)
class NumberLine:
    """A row of ``numbers`` with its agent."""

    did: str
    agent_id: str
    agent_name: str
    tenant: str
    published: bool
    hours: str
    closed_text: str
    closed_to: str
    overflow_to: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A call through a trunk that failed for no reason of the people's."""

    trunk: str
    at: datetime
    callee: str
    cause: str
    cause_code: int
    sip_status: int


def _columns() -> tuple[ColumnElement[Any] | Any, ...]:
    published = exists().where(AgentVersionRow.agent_id == AgentRow.id)
    return (
        NumberRow.did, NumberRow.agent_id, AgentRow.name, AgentRow.tenant, published,
        NumberRow.hours, NumberRow.closed_text, NumberRow.closed_to, NumberRow.overflow_to,
    )  # fmt: skip


def _which(tenant: str | None, text: str) -> ColumnElement[bool]:
    which = [visible_agents(tenant)]
    if text:
        which.append(
            or_(
                NumberRow.did.contains(text, autoescape=True),
                AgentRow.name.icontains(text, autoescape=True),
                NumberRow.agent_id.icontains(text, autoescape=True),
            )
        )
    return and_(*which)


async def list_numbers(
    connection: AsyncConnection, tenant: str | None, *, text: str = "", limit: int, offset: int
) -> list[NumberLine]:
    """By number, ``*`` first; ``text``: in number or agent."""
    query = (
        select(*_columns())
        .join(AgentRow, AgentRow.id == NumberRow.agent_id)
        .where(_which(tenant, text))
        .order_by(NumberRow.did)
        .limit(limit)
        .offset(offset)
    )
    return [NumberLine(*row) for row in await connection.execute(query)]


async def count_numbers(connection: AsyncConnection, tenant: str | None, text: str = "") -> int:
    query = (
        select(func.count())
        .select_from(NumberRow)
        .join(AgentRow, AgentRow.id == NumberRow.agent_id)
        .where(_which(tenant, text))
    )
    return int((await connection.execute(query)).scalar_one())


async def find_number(
    connection: AsyncConnection, forms: tuple[str, ...], *, lock: bool = False
) -> NumberLine | None:
    """The row of a number in any of its ``forms``, whoever's it is."""
    query = (
        select(*_columns())
        .join(AgentRow, AgentRow.id == NumberRow.agent_id)
        .where(NumberRow.did.in_(forms))
        .limit(1)
    )
    if lock:
        query = query.with_for_update(of=NumberRow)
    row = (await connection.execute(query)).first()
    return None if row is None else NumberLine(*row)


async def count_tenants(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(func.count()).select_from(TenantRow))).scalar_one())


async def agents_for_numbers(connection: AsyncConnection, tenant: str | None) -> dict[str, str]:
    """Published agents of ``tenant`` by id: their names."""
    query = (
        select(AgentRow.id, AgentRow.name)
        .where(visible_agents(tenant), exists().where(AgentVersionRow.agent_id == AgentRow.id))
        .order_by(AgentRow.name)
    )
    return {id_: name for id_, name in await connection.execute(query)}


def _failed(within: timedelta) -> ColumnElement[bool]:
    return and_(
        LegRow.started_at > func.now() - within,
        LegRow.trunk != "",
        LegRow.answered_at.is_(None),
        LegRow.cause_code.not_in(USUAL_CAUSES),
        LegRow.cause.not_in(CALLED_OFF),
    )


async def count_failures(connection: AsyncConnection, within: timedelta) -> Mapping[str, int]:
    """Failed calls of each trunk lately."""
    query = select(LegRow.trunk, func.count()).where(_failed(within)).group_by(LegRow.trunk)
    return {trunk: count for trunk, count in await connection.execute(query)}


async def last_failures(
    connection: AsyncConnection, trunk: str, within: timedelta, limit: int
) -> list[Failure]:
    """The latest first."""
    query = (
        select(
            LegRow.trunk, LegRow.started_at, LegRow.callee, LegRow.cause, LegRow.cause_code,
            LegRow.sip_status,
        )
        .where(_failed(within), LegRow.trunk == trunk)
        .order_by(LegRow.started_at.desc())
        .limit(limit)
    )  # fmt: skip
    return [Failure(*row) for row in await connection.execute(query)]
