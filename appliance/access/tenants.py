"""Tenants: the operator's customers, and whose each agent and knowledge base is."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.errors import UserError
from appliance.store import tenancy
from appliance.store import users as store
from appliance.store.tenancy import Stranger
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


async def assign(
    engine: AsyncEngine,
    actor: Actor,
    tenant: str,
    agents: Collection[str] = (),
    bases: Collection[str] = (),
) -> None:
    """Give agents (with their numbers, calls and campaigns) and knowledge bases to a tenant: all, or
    none of them.

    Raises NotFoundError; UserError where an agent would then name what is another tenant's.
    """
    async with engine.begin() as connection:
        await _require_tenant(connection, tenant)
        before = {one.agent_id for one in await tenancy.strangers(connection)}
        moved = [
            *[("agent", one, await tenancy.give_agent(connection, one, tenant)) for one in agents],
            *[("base", one, await tenancy.give_base(connection, one, tenant)) for one in bases],
        ]
        for noun, one, old in moved:
            if old is None:
                raise NotFoundError(f"There is no {noun} {one!r}.")
        _require_no_new(before, await tenancy.strangers(connection))
        for noun, one, old in moved:
            detail = {"before": old, "after": tenant}
            await audit.append(connection, actor, f"{noun}.assign", one, detail, tenant)


def _require_no_new(before: set[str], after: Sequence[Stranger]) -> None:
    new = [one for one in after if one.agent_id not in before]
    if new:
        pairs = ", ".join(f"agent {one.agent_id} names {one.names}" for one in new)
        raise UserError(
            f"What belongs together goes to a tenant together: {pairs}. Nothing is changed."
        )


async def _require_tenant(connection: AsyncConnection, tenant: str) -> None:
    if not await store.tenant_exists(connection, tenant):
        raise NotFoundError(f"There is no tenant {tenant!r}. See `ivr tenants list`.")


def _name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise UserError(f"A tenant's name has 1 to {LONGEST_NAME} letters, on one line.")
    return name
