"""Whose is what: the conditions that keep one tenant's rows from another's people.

An agent and a knowledge base name their tenant; a call, a flag, a campaign, a number or a golden
question belongs to its agent's. The tenant None is the operator's: all rows.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from appliance.store.knowledge_models import KnowledgeBaseRow
from appliance.store.models import AgentRow


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


async def tenants_of_agents(connection: AsyncConnection) -> dict[str, str]:
    """Every agent's tenant."""
    rows = await connection.execute(select(AgentRow.id, AgentRow.tenant))
    return {row.id: row.tenant for row in rows}
