"""Tenants, and what is given to them."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import tenants
from appliance.access.actor import NotFoundError
from appliance.errors import UserError
from appliance.store.knowledge_models import KnowledgeBaseRow
from appliance.store.models import AgentRow, AgentVersionRow
from tests.access_kit import BOX, actions

pytestmark = pytest.mark.server


async def _agent(engine: AsyncEngine, agent_id: str, **config: object) -> None:
    async with engine.begin() as connection:
        await connection.execute(insert(AgentRow).values(id=agent_id, name=agent_id))
        row = insert(AgentVersionRow).values(agent_id=agent_id, version=1, config=config)
        await connection.execute(row)


async def _homes(engine: AsyncEngine) -> dict[str, str]:
    async with engine.connect() as connection:
        agents = (await connection.execute(select(AgentRow.id, AgentRow.tenant))).all()
        bases = select(KnowledgeBaseRow.name, KnowledgeBaseRow.tenant)
        return {row[0]: row[1] for row in [*agents, *(await connection.execute(bases)).all()]}


async def test_made_renamed_listed(engine: AsyncEngine) -> None:
    await tenants.create(engine, BOX, "north", "North Bank")
    await tenants.rename(engine, BOX, "north", "Northern Bank")
    found = {one.id: one for one in await tenants.list_all(engine)}
    assert set(found) == {"main", "north"} and found["north"].name == "Northern Bank"
    assert await actions(engine) == [("tenant.create", "north"), ("tenant.rename", "north")]
    with pytest.raises(UserError, match="already"):
        await tenants.create(engine, BOX, "north", "x")
    with pytest.raises(NotFoundError):
        await tenants.rename(engine, BOX, "south", "x")
    for wrong in ("", "North", "a b", "x" * 41, "../x"):
        with pytest.raises(UserError, match="id has"):
            await tenants.create(engine, BOX, wrong, "x")
    with pytest.raises(UserError, match="name has"):
        await tenants.create(engine, BOX, "south", "a\nb")


async def test_what_belongs_together_goes_together(engine: AsyncEngine) -> None:
    await tenants.create(engine, BOX, "north", "North")
    async with engine.begin() as connection:
        await connection.execute(insert(KnowledgeBaseRow).values(name="loans"))
    await _agent(engine, "hindi", knowledge="loans")
    await _agent(engine, "english", language_menu={"2": "hindi"})
    before = await _homes(engine)
    for agents, bases, why in (
        (["hindi"], [], "agent hindi names base loans"),
        ([], ["loans"], "agent hindi names base loans"),
        (["hindi"], ["loans"], "agent english names agent hindi"),
    ):
        with pytest.raises(UserError, match=why):
            await tenants.assign(engine, BOX, "north", agents, bases)
        assert await _homes(engine) == before
    await tenants.assign(engine, BOX, "north", ["hindi", "english"], ["loans"])
    assert set((await _homes(engine)).values()) == {"north"}
    assert ("agent.assign", "english") in await actions(engine)
    found = {one.id: one for one in await tenants.list_all(engine)}
    assert (found["north"].agents, found["north"].bases, found["main"].agents) == (2, 1, 0)


async def test_what_is_not_there(engine: AsyncEngine) -> None:
    with pytest.raises(NotFoundError, match="no tenant"):
        await tenants.assign(engine, BOX, "north", ["x"])
    with pytest.raises(NotFoundError, match="no agent"):
        await tenants.assign(engine, BOX, "main", ["x"])
    with pytest.raises(NotFoundError, match="no base"):
        await tenants.assign(engine, BOX, "main", [], ["x"])
