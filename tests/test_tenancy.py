"""What belongs to one tenant is nobody else's to see."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.access_models import TenantRow
from appliance.store.knowledge_models import KnowledgeBaseRow
from appliance.store.models import AgentRow, NumberRow
from appliance.store.tenancy import (
    of_visible_agent,
    tenant_of_agent,
    visible_agents,
    visible_bases,
)

pytestmark = pytest.mark.server


async def _seed(connection: AsyncConnection) -> None:
    await connection.execute(insert(TenantRow).values(id="north", name="North"))
    for tenant in ("main", "north"):
        await connection.execute(
            insert(AgentRow).values(id=f"{tenant}-agent", name=tenant, tenant=tenant)
        )
        await connection.execute(
            insert(KnowledgeBaseRow).values(name=f"{tenant}-base", tenant=tenant)
        )
        await connection.execute(
            insert(NumberRow).values(did=f"+91{len(tenant)}", agent_id=f"{tenant}-agent")
        )


@pytest.mark.parametrize(
    ("tenant", "seen"),
    [("main", {"main"}), ("north", {"north"}), ("gone", set()), (None, {"main", "north"})],
)
async def test_only_what_is_theirs(engine: AsyncEngine, tenant: str | None, seen: set[str]) -> None:
    async with engine.begin() as connection:
        await _seed(connection)
        agents = await connection.scalars(select(AgentRow.id).where(visible_agents(tenant)))
        assert set(agents) == {f"{one}-agent" for one in seen}
        bases = await connection.scalars(select(KnowledgeBaseRow.name).where(visible_bases(tenant)))
        assert set(bases) == {f"{one}-base" for one in seen}
        numbers = await connection.scalars(
            select(NumberRow.agent_id).where(of_visible_agent(NumberRow.agent_id, tenant))
        )
        assert set(numbers) == {f"{one}-agent" for one in seen}


async def test_what_names_no_agent_is_the_operators(engine: AsyncEngine) -> None:
    nobody = literal_column("''")
    async with engine.connect() as connection:
        assert await connection.scalar(select(1).where(of_visible_agent(nobody, None))) == 1
        assert await connection.scalar(select(1).where(of_visible_agent(nobody, "main"))) is None


async def test_the_tenant_of_an_agent(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await _seed(connection)
        assert await tenant_of_agent(connection, "north-agent") == "north"
        assert await tenant_of_agent(connection, "nobody") is None
