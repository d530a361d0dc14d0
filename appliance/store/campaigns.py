"""Campaigns and their contacts. Functions take a connection inside a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.models import AgentRow, AgentVersionRow
from appliance.store.outreach_models import CampaignRow, ContactRow
from appliance.store.tenancy import visible_agents

BATCH = 1000
"""Rows of one INSERT."""


class CampaignState(StrEnum):
    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


class ContactState(StrEnum):
    WAITING = "waiting"
    QUEUED = "queued"
    """A row of ``outbound_calls`` rings them."""
    REACHED = "reached"
    FAILED = "failed"
    REFUSED = "refused"
    """They are on the do-not-call list."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Campaign:
    """A row of ``campaigns``; ``tenant`` and ``agent_name`` are its agent's."""

    id: int
    name: str
    agent_id: str
    state: CampaignState
    why: str
    hours: str
    starts_at: datetime | None
    ends_at: datetime | None
    most_at_once: int
    capacity_share: float
    max_attempts: int
    retry_after_s: int
    created_by: str
    created_at: datetime
    started_at: datetime | None
    running_since: datetime | None
    ended_at: datetime | None
    tenant: str
    agent_name: str


@dataclass(frozen=True, slots=True)
class ContactEntry:
    """A row of ``campaign_contacts``."""

    id: int
    number: str
    name: str
    fields: Mapping[str, str]
    state: ContactState
    result: str
    attempts: int
    call_id: str
    next_at: datetime
    called_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewContact:
    """To be added."""

    number: str
    """E.164."""
    name: str
    fields: Mapping[str, str]
    state: ContactState = ContactState.WAITING
    result: str = ""


Counts = Mapping[ContactState, int]
IS_QUEUED = ContactRow.state == literal_column("'queued'")
"""Written out, so that the partial index of those rows serves."""
_COLUMNS = (*CampaignRow.__table__.columns, AgentRow.tenant, AgentRow.name.label("agent_name"))
_ENTRY = tuple(
    getattr(ContactRow, name)
    for name in (
        "id", "number", "name", "fields", "state", "result", "attempts", "call_id", "next_at",
        "called_at",
    )
)  # fmt: skip


_ADD = text(
    "INSERT INTO campaign_contacts (campaign_id, number, name, fields, state, result)"
    " SELECT CAST(:campaign AS bigint), n, m, CAST(f AS jsonb), s, r FROM unnest("
    " CAST(:numbers AS text[]), CAST(:names AS text[]), CAST(:fields AS text[]),"
    " CAST(:states AS text[]), CAST(:results AS text[])) AS list (n, m, f, s, r)"
    " ON CONFLICT DO NOTHING"
)
"""Columns as arrays: a list of 100 000 as VALUES keeps Python busy for a minute."""


def _campaign(row: Mapping[Any, Any]) -> Campaign:
    return Campaign(**{**row, "state": CampaignState(row["state"])})


def _entry(row: Mapping[Any, Any]) -> ContactEntry:
    return ContactEntry(**{**row, "state": ContactState(row["state"])})


# --- campaigns ------------------------------------------------------------------------------------


async def create_campaign(connection: AsyncConnection, values: Mapping[str, Any]) -> int:
    """The new campaign's id. ``values`` are columns; its agent is there."""
    statement = insert(CampaignRow).values(**values).returning(CampaignRow.id)
    return int((await connection.execute(statement)).scalar_one())


async def read_campaign(
    connection: AsyncConnection, id_: int, tenant: str | None = None, *, lock: bool = False
) -> Campaign | None:
    """None: there is none, or none of ``tenant``. ``lock``: nobody changes its state, or lists calls of
    it, until this transaction ends."""
    query = (
        select(*_COLUMNS)
        .join(AgentRow, AgentRow.id == CampaignRow.agent_id)
        .where(CampaignRow.id == id_, visible_agents(tenant))
    )
    if lock:
        query = query.with_for_update(of=CampaignRow)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else _campaign(row)


async def list_campaigns(
    connection: AsyncConnection,
    tenant: str | None,
    *,
    states: Sequence[CampaignState] = (),
    limit: int = 50,
    offset: int = 0,
) -> list[Campaign]:
    """The latest first, those that run before all others."""
    query = (
        select(*_COLUMNS)
        .join(AgentRow, AgentRow.id == CampaignRow.agent_id)
        .where(visible_agents(tenant))
        .order_by((CampaignRow.state == CampaignState.RUNNING).desc(), CampaignRow.id.desc())
        .limit(limit)
        .offset(offset)
    )
    if states:
        query = query.where(CampaignRow.state.in_(states))
    rows = (await connection.execute(query)).mappings()
    return [_campaign(row) for row in rows]


async def change_campaign(connection: AsyncConnection, id_: int, values: Mapping[str, Any]) -> None:
    await connection.execute(update(CampaignRow).where(CampaignRow.id == id_).values(**values))


async def remove_campaign(connection: AsyncConnection, id_: int) -> int:
    """Delete it with its contacts; how many there were."""
    gone = await connection.execute(delete(ContactRow).where(ContactRow.campaign_id == id_))
    await connection.execute(delete(CampaignRow).where(CampaignRow.id == id_))
    return gone.rowcount


async def count_by_state(
    connection: AsyncConnection, ids: Sequence[int]
) -> dict[int, dict[ContactState, int]]:
    """Contacts of each campaign by their state."""
    query = (
        select(ContactRow.campaign_id, ContactRow.state, func.count())
        .where(ContactRow.campaign_id.in_(ids))
        .group_by(ContactRow.campaign_id, ContactRow.state)
    )
    found: dict[int, dict[ContactState, int]] = {id_: {} for id_ in ids}
    for id_, state, count in await connection.execute(query):
        found[id_][ContactState(state)] = count
    return found


async def is_published(connection: AsyncConnection, agent_id: str) -> bool:
    """Whether the agent has a version that could talk."""
    query = select(AgentVersionRow.version).where(AgentVersionRow.agent_id == agent_id).limit(1)
    return (await connection.execute(query)).first() is not None


# --- contacts -------------------------------------------------------------------------------------


async def add_contacts(
    connection: AsyncConnection, campaign_id: int, contacts: Iterable[NewContact]
) -> int:
    """How many were added: those whose number the campaign has already are left as they are."""
    rows, added = list(contacts), 0
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        columns = {
            "numbers": [c.number for c in some],
            "names": [c.name for c in some],
            "fields": [orjson.dumps(dict(c.fields)).decode() for c in some],
            "states": [str(c.state) for c in some],
            "results": [c.result for c in some],
        }
        added += (await connection.execute(_ADD, {"campaign": campaign_id} | columns)).rowcount
    return added


async def remove_contacts(connection: AsyncConnection, campaign_id: int) -> int:
    """Erase the whole list of a campaign; how many they were."""
    gone = await connection.execute(delete(ContactRow).where(ContactRow.campaign_id == campaign_id))
    return gone.rowcount


async def set_all_waiting(
    connection: AsyncConnection, campaign_id: int, state: ContactState, result: str
) -> int:
    """Nobody who waits is called any more; how many they were."""
    change = (
        update(ContactRow)
        .where(ContactRow.campaign_id == campaign_id, ContactRow.state == ContactState.WAITING)
        .values(state=state, result=result, updated_at=func.now())
    )
    return (await connection.execute(change)).rowcount


async def list_contacts(
    connection: AsyncConnection,
    campaign_id: int,
    *,
    states: Sequence[ContactState] = (),
    text: str = "",
    after_id: int = 0,
    offset: int = 0,
    limit: int = 50,
) -> list[ContactEntry]:
    """In the order of the list, or from ``after_id`` on; ``text``: in the number, the name or the
    result."""
    query = (
        select(*_ENTRY)
        .where(_which(campaign_id, states, text), ContactRow.id > after_id)
        .order_by(ContactRow.id)
        .offset(offset)
        .limit(limit)
    )
    return [_entry(row) for row in (await connection.execute(query)).mappings()]


async def count_contacts(
    connection: AsyncConnection,
    campaign_id: int,
    *,
    states: Sequence[ContactState] = (),
    text: str = "",
) -> int:
    """As many as :func:`list_contacts` would show."""
    which = _which(campaign_id, states, text)
    return int(
        (await connection.execute(select(func.count()).select_from(ContactRow).where(which)))
        .scalar_one()
    )  # fmt: skip


async def count_results(connection: AsyncConnection, campaign_id: int) -> list[tuple[str, int]]:
    """How the last calls to its contacts ended, the most frequent first; 50 kinds at most."""
    query = (
        select(ContactRow.result, func.count())
        .where(ContactRow.campaign_id == campaign_id, ContactRow.result != "")
        .group_by(ContactRow.result)
        .order_by(func.count().desc(), ContactRow.result)
        .limit(50)
    )
    return [(result, count) for result, count in await connection.execute(query)]


async def called_since(
    connection: AsyncConnection, campaign_id: int, since: datetime
) -> tuple[int, datetime | None]:
    """How many contacts' last calls were over since then, and when the first of them was."""
    query = select(func.count(), func.min(ContactRow.called_at)).where(
        ContactRow.campaign_id == campaign_id, ContactRow.called_at >= since
    )
    count, first = (await connection.execute(query)).one()
    return count, first


def _which(campaign_id: int, states: Sequence[ContactState], text: str) -> ColumnElement[bool]:
    which = [ContactRow.campaign_id == campaign_id]
    if states:
        which.append(ContactRow.state.in_(states))
    if text:
        which.append(
            or_(
                ContactRow.number.contains(text, autoescape=True),
                ContactRow.name.icontains(text, autoescape=True),
                ContactRow.result.icontains(text, autoescape=True),
            )
        )
    return and_(*which)


# --- what the feeder needs ------------------------------------------------------------------------


async def campaigns_to_look_at(connection: AsyncConnection) -> list[tuple[int, CampaignState]]:
    """Those that run, and others that have calls on the list."""
    queued = select(ContactRow.campaign_id).where(IS_QUEUED)
    query = (
        select(CampaignRow.id, CampaignRow.state)
        .where(or_(CampaignRow.state == CampaignState.RUNNING, CampaignRow.id.in_(queued)))
        .order_by(CampaignRow.id)
    )
    return [(id_, CampaignState(state)) for id_, state in await connection.execute(query)]


async def recent_results(
    connection: AsyncConnection, campaign_id: int, since: datetime | None, limit: int
) -> list[str]:
    """How the last calls to its contacts ended, the latest first."""
    query = (
        select(ContactRow.result)
        .where(ContactRow.campaign_id == campaign_id, ContactRow.called_at.is_not(None))
        .order_by(ContactRow.called_at.desc())
        .limit(limit)
    )
    if since is not None:
        query = query.where(ContactRow.called_at >= since)
    return list(await connection.scalars(query))


async def due_contacts(
    connection: AsyncConnection, campaign_id: int, now: datetime, limit: int
) -> list[tuple[int, str]]:
    """Ids and numbers of those to be called next, locked."""
    query = (
        select(ContactRow.id, ContactRow.number)
        .where(
            ContactRow.campaign_id == campaign_id,
            ContactRow.state == ContactState.WAITING,
            ContactRow.next_at <= now,
        )
        .order_by(ContactRow.next_at, ContactRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(id_, number) for id_, number in await connection.execute(query)]


async def set_queued(connection: AsyncConnection, contact_id: int, outbound_id: str) -> None:
    change = update(ContactRow).where(ContactRow.id == contact_id)
    await connection.execute(
        change.values(
            state=ContactState.QUEUED, outbound_id=outbound_id, updated_at=func.now()
        )
    )  # fmt: skip


async def left_of(connection: AsyncConnection, campaign_id: int) -> tuple[int, datetime | None]:
    """How many contacts still wait or are under way, and when the next of those who wait is due."""
    waits = ContactRow.state == ContactState.WAITING
    query = select(
        func.count(), func.min(case((waits, ContactRow.next_at), else_=None))
    ).where(
        ContactRow.campaign_id == campaign_id,
        ContactRow.state.in_((ContactState.WAITING, ContactState.QUEUED)),
    )  # fmt: skip
    count, next_at = (await connection.execute(query)).one()
    return count, next_at
