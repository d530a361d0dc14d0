"""Agents as people look at them: the list, one agent's head, its versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, func, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.errors import UserError
from appliance.events import Agent
from appliance.store.agents import LATEST, parse_agent
from appliance.store.knowledge_models import KnowledgeBaseRow
from appliance.store.models import (
    AgentDraftRow,
    AgentRow,
    AgentVersionRow,
    CallRow,
    NumberRow,
)
from appliance.store.tenancy import visible_agents

CALLS_WITHIN = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class AgentSummary:
    """One agent in the list."""

    id: str
    name: str
    tenant: str
    version: int
    """The one that answers; 0: none was published."""
    published_at: datetime | None
    published_by: str
    language: str
    """Of the version that answers, else of the draft; as ``voice``."""
    voice: str
    draft_revision: int
    """0: there is no draft."""
    draft_by: str
    draft_at: datetime | None
    draft_based_on: int
    """Another version was published since, where it is not ``version``."""
    numbers: tuple[str, ...]
    """That lead to it; ``*`` is every number without an agent of its own."""
    calls: int
    """That began in the last 24 hours, tries from the console not counted."""


@dataclass(frozen=True, slots=True)
class Version:
    """One published version."""

    version: int
    published_at: datetime
    published_by: str
    """Empty: by a command, or before versions had names."""
    note: str


def _summaries(tenant: str | None) -> Select[Any]:
    numbers = (
        select(func.array_agg(NumberRow.did).label("dids"))
        .where(NumberRow.agent_id == AgentRow.id)
        .lateral("numbers_of")
    )
    calls = (
        select(func.count().label("begun"))
        .where(
            CallRow.agent_id == AgentRow.id,
            CallRow.started_at > func.now() - CALLS_WITHIN,
            CallRow.direction != "test",
        )
        .lateral("calls_of")
    )
    versions = (
        select(AgentVersionRow.published_at, AgentVersionRow.published_by)
        .where(AgentVersionRow.agent_id == AgentRow.id, AgentVersionRow.version == LATEST.c.version)
        .lateral("published")
    )
    config = func.coalesce(LATEST.c.config, AgentDraftRow.config)
    return (
        select(
            AgentRow.id,
            AgentRow.name,
            AgentRow.tenant,
            func.coalesce(LATEST.c.version, 0).label("version"),
            versions.c.published_at,
            func.coalesce(versions.c.published_by, "").label("published_by"),
            func.jsonb_extract_path_text(config, "language").label("language"),
            func.jsonb_extract_path_text(config, "voice").label("voice"),
            AgentDraftRow.revision,
            AgentDraftRow.updated_by,
            AgentDraftRow.updated_at,
            AgentDraftRow.based_on,
            numbers.c.dids,
            calls.c.begun,
        )
        .select_from(AgentRow)
        .outerjoin(LATEST, true())
        .outerjoin(versions, true())
        .outerjoin(
            AgentDraftRow, (AgentDraftRow.agent_id == AgentRow.id) & (AgentDraftRow.config != {})
        )
        .join(numbers, true())
        .join(calls, true())
        .where(visible_agents(tenant))
    )


async def list_agents(
    connection: AsyncConnection,
    tenant: str | None,
    *,
    search: str = "",
    limit: int,
    offset: int = 0,
) -> list[AgentSummary]:
    """The agents that ``tenant`` may know of, by name. ``search``: a part of name or id."""
    query = _summaries(tenant).order_by(func.lower(AgentRow.name), AgentRow.id)
    if search:
        query = query.where(
            AgentRow.name.icontains(search, autoescape=True)
            | AgentRow.id.icontains(search, autoescape=True)
        )
    rows = (await connection.execute(query.limit(limit).offset(offset))).all()
    return [_summary(row) for row in rows]


async def read_summary(
    connection: AsyncConnection, agent_id: str, tenant: str | None
) -> AgentSummary | None:
    """One of them; None: there is none that ``tenant`` may know of."""
    row = (
        await connection.execute(_summaries(tenant).where(AgentRow.id == agent_id))
    ).one_or_none()
    return _summary(row) if row else None


def _summary(row: Row[Any]) -> AgentSummary:
    return AgentSummary(
        id=row.id,
        name=row.name,
        tenant=row.tenant,
        version=row.version,
        published_at=row.published_at,
        published_by=row.published_by,
        language=row.language or "",
        voice=row.voice or "",
        draft_revision=row.revision or 0,
        draft_by=row.updated_by or "",
        draft_at=row.updated_at,
        draft_based_on=row.based_on or 0,
        numbers=tuple(sorted(row.dids or ())),
        calls=row.begun,
    )


async def lock_agent(connection: AsyncConnection, agent_id: str, tenant: str | None) -> bool:
    """Keep others from changing the agent and its draft until the transaction ends. False: there is
    none that ``tenant`` may know of."""
    query = (
        select(AgentRow.id).where(AgentRow.id == agent_id, visible_agents(tenant)).with_for_update()
    )
    return await connection.scalar(query) is not None


async def versions_of(
    connection: AsyncConnection, agent_id: str, *, limit: int, offset: int = 0
) -> list[Version]:
    """What was published, the newest first."""
    query = (
        select(
            AgentVersionRow.version,
            AgentVersionRow.published_at,
            AgentVersionRow.published_by,
            AgentVersionRow.note,
        )
        .where(AgentVersionRow.agent_id == agent_id)
        .order_by(AgentVersionRow.version.desc())
        .limit(limit)
        .offset(offset)
    )
    return [Version(*row) for row in (await connection.execute(query)).all()]


async def read_version(connection: AsyncConnection, agent_id: str, version: int) -> Agent | None:
    """The agent in that version (0: the latest), with the name it has now; None: there is none.

    Raises UserError when its config is no agent.
    """
    query = (
        select(AgentRow.name, AgentVersionRow.version, AgentVersionRow.config)
        .join(AgentVersionRow, AgentVersionRow.agent_id == AgentRow.id)
        .where(AgentRow.id == agent_id)
        .order_by(AgentVersionRow.version.desc())
        .limit(1)
    )
    if version:
        query = query.where(AgentVersionRow.version == version)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    return parse_agent(row.config | {"id": agent_id, "name": row.name, "version": row.version})


async def create_agent(connection: AsyncConnection, agent_id: str, name: str, tenant: str) -> None:
    """An agent without any version. Raises UserError: the id is taken, or there is no such tenant."""
    statement = (
        insert(AgentRow)
        .values(id=agent_id, name=name, tenant=tenant)
        .on_conflict_do_nothing(index_elements=[AgentRow.id])
        .returning(AgentRow.id)
    )
    try:
        made = await connection.scalar(statement)
    except IntegrityError as e:
        raise UserError(f"There is no tenant {tenant!r}.") from e
    if made is None:
        raise UserError(f"The id {agent_id!r} is taken; choose another.")


async def agents_of(connection: AsyncConnection, tenant: str) -> dict[str, tuple[str, int]]:
    """A tenant's agents: id -> (name, latest version; 0: none published)."""
    query = (
        select(AgentRow.id, AgentRow.name, func.coalesce(LATEST.c.version, 0))
        .select_from(AgentRow)
        .outerjoin(LATEST, true())
        .where(AgentRow.tenant == tenant)
        .order_by(func.lower(AgentRow.name), AgentRow.id)
    )
    return {row[0]: (row[1], row[2]) for row in (await connection.execute(query)).all()}


async def bases_of(connection: AsyncConnection, tenant: str) -> dict[str, int]:
    """A tenant's knowledge bases: name -> version in force."""
    query = (
        select(KnowledgeBaseRow.name, KnowledgeBaseRow.version)
        .where(KnowledgeBaseRow.tenant == tenant, KnowledgeBaseRow.dropped_at.is_(None))
        .order_by(KnowledgeBaseRow.name)
    )
    return {row[0]: row[1] for row in (await connection.execute(query)).all()}
