"""Whose is what: the conditions that keep one tenant's rows from another's people.

An agent and a knowledge base name their tenant; a call, a flag, a campaign, a number or a golden
question belongs to its agent's. The tenant None is the operator's: all rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, select, true, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from appliance.store.access_models import TenantRow
from appliance.store.knowledge_models import KnowledgeBaseRow
from appliance.store.models import AgentDraftRow, AgentRow, AgentVersionRow


def visible_agents(tenant: str | None) -> ColumnElement[bool]:
    """On AgentRow: the agents that people of ``tenant`` may know of."""
    return true() if tenant is None else AgentRow.tenant == tenant


def visible_bases(tenant: str | None) -> ColumnElement[bool]:
    """On KnowledgeBaseRow: the bases that people of ``tenant`` may know of."""
    return true() if tenant is None else KnowledgeBaseRow.tenant == tenant


def of_visible_agent(
    column: InstrumentedAttribute[Any] | ColumnElement[Any], tenant: str | None
) -> ColumnElement[bool]:
    """On any table: rows whose ``column`` is the id of such an agent. What names no agent, or one
    that is no more, is the operator's alone."""
    if tenant is None:
        return true()
    return column.in_(select(AgentRow.id).where(AgentRow.tenant == tenant))


async def tenant_of_agent(connection: AsyncConnection, agent_id: str) -> str | None:
    """The tenant of ``agent_id``; None: there is no such agent."""
    found: str | None = await connection.scalar(
        select(AgentRow.tenant).where(AgentRow.id == agent_id)
    )
    return found


def owner_of(connection: Connection, *, agent_id: str = "", base: str = "") -> str | None:
    """The tenant of an agent, else of a knowledge base; None: there is no such one."""
    query = select(KnowledgeBaseRow.tenant).where(KnowledgeBaseRow.name == base)
    if agent_id:
        query = select(AgentRow.tenant).where(AgentRow.id == agent_id)
    found: str | None = connection.scalar(query)
    return found


def tenant_is_there(connection: Connection, tenant: str) -> bool:
    """Whether there is a tenant of that id."""
    return bool(connection.scalar(select(exists().where(TenantRow.id == tenant))))


async def tenants_of_agents(connection: AsyncConnection) -> dict[str, str]:
    """Every agent's tenant."""
    rows = await connection.execute(select(AgentRow.id, AgentRow.tenant))
    return {row.id: row.tenant for row in rows}


@dataclass(frozen=True, slots=True)
class Stranger:
    """An agent that names what is another tenant's."""

    agent_id: str
    names: str
    """``base NAME`` or ``agent ID``."""


async def give_agent(connection: AsyncConnection, agent_id: str, tenant: str) -> str | None:
    """Make ``tenant`` its owner; returns whose it was, None: there is no such agent."""
    query = select(AgentRow.tenant).where(AgentRow.id == agent_id).with_for_update()
    before: str | None = await connection.scalar(query)
    changed = update(AgentRow).where(AgentRow.id == agent_id).values(tenant=tenant)
    await connection.execute(changed)
    return before


async def give_base(connection: AsyncConnection, name: str, tenant: str) -> str | None:
    """As :func:`give_agent`, for a knowledge base."""
    mine = KnowledgeBaseRow.name == name
    query = select(KnowledgeBaseRow.tenant).where(mine).with_for_update()
    before: str | None = await connection.scalar(query)
    await connection.execute(update(KnowledgeBaseRow).where(mine).values(tenant=tenant))
    return before


async def strangers(connection: AsyncConnection) -> list[Stranger]:
    """Which agents, as published last or as drafts, name a base or an agent of another tenant."""
    bases = dict(
        (await connection.execute(select(KnowledgeBaseRow.name, KnowledgeBaseRow.tenant))).all()
    )
    agents = dict((await connection.execute(select(AgentRow.id, AgentRow.tenant))).all())
    published = (
        select(AgentVersionRow.agent_id, AgentVersionRow.config)
        .ext(distinct_on(AgentVersionRow.agent_id))
        .order_by(AgentVersionRow.agent_id, AgentVersionRow.version.desc())
    )
    drafts = select(AgentDraftRow.agent_id, AgentDraftRow.config)
    found: dict[Stranger, None] = {}
    for query in (published, drafts):
        for agent_id, config in await connection.execute(query):
            home = agents[agent_id]
            base = config.get("knowledge") or ""
            if bases.get(base, home) != home:
                found[Stranger(agent_id, f"base {base}")] = None
            for other in (config.get("language_menu") or {}).values():
                if agents.get(other, home) != home:
                    found[Stranger(agent_id, f"agent {other}")] = None
    return list(found)
