"""A console on a test's database: two tenants, people of every role, the API without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import Actor
from appliance.access.roles import PERMISSIONS, Role
from appliance.admin.api.app import make_api
from appliance.admin.console import Console
from appliance.events import Agent
from appliance.store.agents import publish_agent

ACME, ZEN = "acme", "zen"


def actor(role: Role, tenant: str | None = ACME) -> Actor:
    """Somebody of that role; the operator belongs to no tenant."""
    of = None if role is Role.OPERATOR else tenant
    return Actor(f"{role.value}-{of}", role, of, PERMISSIONS[role], address="192.0.2.7")


OPERATOR = actor(Role.OPERATOR)
ADMIN, OTHER_ADMIN = actor(Role.ADMIN), actor(Role.ADMIN, ZEN)
REVIEWER, OTHER_REVIEWER = actor(Role.REVIEWER), actor(Role.REVIEWER, ZEN)
VIEWER = actor(Role.VIEWER)


async def add_tenants(engine: AsyncEngine) -> None:
    """acme and zen."""
    async with engine.begin() as connection:
        for tenant in (ACME, ZEN):
            await connection.execute(
                text("INSERT INTO tenants (id, name) VALUES (:id, :id)"), {"id": tenant}
            )


async def give(engine: AsyncEngine, agent_id: str, tenant: str) -> None:
    """Let an agent be a tenant's."""
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE agents SET tenant = :tenant WHERE id = :id"),
            {"tenant": tenant, "id": agent_id},
        )


async def agent_in(engine: AsyncEngine, tenant: str, agent_id: str, **fields: Any) -> Agent:
    """A published agent of a tenant."""
    agent = await publish_agent(engine, Agent(agent_id, 1, agent_id.title(), **fields))
    await give(engine, agent_id, tenant)
    return agent


async def give_base(engine: AsyncEngine, name: str, tenant: str) -> None:
    """Let a knowledge base be a tenant's."""
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE knowledge_bases SET tenant = :tenant WHERE name = :name"),
            {"tenant": tenant, "name": name},
        )


@cache
def the_api() -> FastAPI:
    """The API, made once for all tests: it holds nothing of a console, and each of its hundred routes
    is looked through anew at its first request, which is a second of a core."""
    return make_api()


@asynccontextmanager
async def api_as(console: Console, who: Actor) -> AsyncIterator[httpx.AsyncClient]:
    """The API as somebody meets it whom the gate has let in."""
    app = the_api()

    async def let_in(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = scope.get("state", {}) | {"console": console, "actor": who}
        await app(scope, receive, send)

    transport = httpx.ASGITransport(app=let_in)
    async with httpx.AsyncClient(
        transport=transport, base_url="https://console.test/api/v1", timeout=60
    ) as client:
        yield client


async def audited(engine: AsyncEngine) -> list[tuple[str, str, str, str | None]]:
    """(actor, action, subject, tenant) of the audit log, in order."""
    query = text("SELECT actor, action, subject, tenant FROM audit_log ORDER BY id")
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(query)]  # type: ignore[misc]
