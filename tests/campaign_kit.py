"""What tests of campaigns share: workers that say how busy they are, a switch that settles calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.events import Agent
from appliance.outreach.campaigns.states import Step
from appliance.outreach.campaigns.steps import step
from appliance.settings import Settings
from appliance.store import campaigns as store
from appliance.store.agents import publish_agent
from appliance.store.campaigns import Campaign, CampaignState, ContactEntry, NewContact
from appliance.store.models import OutboundRow


class Workers:
    """A real HTTP server that answers ``GET /health`` as workers do."""

    def __init__(self) -> None:
        self.capacity, self.calls, self.status = 20, 0, "ok"
        self.asked = 0
        self.url = ""

    async def health(self, request: web.Request) -> web.Response:
        self.asked += 1
        said = {"status": self.status, "calls": self.calls, "capacity": self.capacity}
        return web.json_response(said, status=200 if self.status == "ok" else 503)


@asynccontextmanager
async def workers() -> AsyncIterator[Workers]:
    said = Workers()
    app = web.Application()
    app.router.add_get("/health", said.health)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    said.url = f"ws://127.0.0.1:{port}"
    try:
        yield said
    finally:
        await runner.cleanup()


async def make_campaign(engine: AsyncEngine, numbers: Sequence[str], **values: Any) -> int:
    """A campaign of agent ``help`` with these contacts, not started."""
    await publish_agent(engine, Agent("help", 1, "Help"))
    async with engine.begin() as connection:
        fields = {"name": "Dues", "agent_id": "help", "hours": "always"} | values
        id_ = await store.create_campaign(connection, fields)
        await store.add_contacts(connection, id_, [NewContact(n, "", {}) for n in numbers])
    return id_


async def do(engine: AsyncEngine, settings: Settings, id_: int, what: Step) -> CampaignState:
    async with engine.begin() as connection:
        found = await store.read_campaign(connection, id_, lock=True)
        assert found is not None
        return await step(connection, settings, found, what)


async def campaign(engine: AsyncEngine, id_: int) -> Campaign:
    async with engine.begin() as connection:
        found = await store.read_campaign(connection, id_)
    assert found is not None
    return found


async def contacts(engine: AsyncEngine, id_: int) -> list[ContactEntry]:
    async with engine.begin() as connection:
        return await store.list_contacts(connection, id_, limit=1000)


async def listed(engine: AsyncEngine, *states: str) -> list[Any]:
    """The calls on the list that are in one of ``states``, the oldest first."""
    query = select(*OutboundRow.__table__.columns).order_by(OutboundRow.created_at)
    if states:
        query = query.where(OutboundRow.state.in_(states))
    async with engine.begin() as connection:
        return list((await connection.execute(query)).mappings())


async def over(engine: AsyncEngine, ids: Sequence[str], state: str, result: str) -> None:
    """What `ivr switch` writes when calls are over."""
    async with engine.begin() as connection:
        await connection.execute(
            update(OutboundRow)
            .where(OutboundRow.id.in_(ids))
            .values(
                state=state, result=result, attempts=1, ended_at=datetime.now(UTC),
                call_id=OutboundRow.id,
            )
        )  # fmt: skip


async def set_state(engine: AsyncEngine, ids: Sequence[str], state: str) -> None:
    async with engine.begin() as connection:
        change = update(OutboundRow).where(OutboundRow.id.in_(ids))
        await connection.execute(change.values(state=state))
