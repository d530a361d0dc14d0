"""Tenants: the operator's customers, and whose each agent and knowledge base is."""

from __future__ import annotations

import re

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.errors import UserError
from appliance.store import users as store
from appliance.store.users import Tenant

ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
LONGEST_NAME = 100


async def create(engine: AsyncEngine, actor: Actor, tenant: str, name: str) -> None:
    """Raises UserError."""
    if not ID.fullmatch(tenant):
        raise UserError("A tenant's id has at most 40 letters (a-z), digits and dashes.")
    async with engine.begin() as connection:
        await store.add_tenant(connection, tenant, _name(name or tenant))
        await audit.append(connection, actor, "tenant.create", tenant, {"name": name}, tenant)


async def rename(engine: AsyncEngine, actor: Actor, tenant: str, name: str) -> None:
    """Raises NotFoundError, UserError."""
    async with engine.begin() as connection:
        if not await store.rename_tenant(connection, tenant, _name(name)):
            raise NotFoundError(f"There is no tenant {tenant!r}.")
        await audit.append(connection, actor, "tenant.rename", tenant, {"name": name}, tenant)


async def list_all(engine: AsyncEngine) -> list[Tenant]:
    async with engine.connect() as connection:
        return await store.list_tenants(connection)


async def assign_agent(engine: AsyncEngine, actor: Actor, agent_id: str, tenant: str) -> None:
    """Give an agent, and with it its numbers, calls and campaigns, to a tenant.

    Raises NotFoundError; UserError: it names bases or agents that would be another tenant's.
    """
    async with engine.begin() as connection:
        await _require_tenant(connection, tenant)
        before = await store.give_agent(connection, agent_id, tenant)
        if before is None:
            raise NotFoundError(f"There is no agent {agent_id!r}.")
        detail = {"before": before, "after": tenant}
        await audit.append(connection, actor, "agent.assign", agent_id, detail, tenant)


async def assign_base(engine: AsyncEngine, actor: Actor, name: str, tenant: str) -> None:
    """Give a knowledge base to a tenant. Raises NotFoundError."""
    async with engine.begin() as connection:
        await _require_tenant(connection, tenant)
        before = await store.give_base(connection, name, tenant)
        if before is None:
            raise NotFoundError(f"There is no knowledge base {name!r}.")
        detail = {"before": before, "after": tenant}
        await audit.append(connection, actor, "base.assign", name, detail, tenant)


async def _require_tenant(connection: AsyncConnection, tenant: str) -> None:
    if not await store.tenant_exists(connection, tenant):
        raise NotFoundError(f"There is no tenant {tenant!r}. See `ivr tenants list`.")


def _name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise UserError(f"A tenant's name has 1 to {LONGEST_NAME} letters, on one line.")
    return name
