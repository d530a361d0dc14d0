"""Tenants: the operator's customers, and what is given to them."""

from __future__ import annotations

from collections.abc import Collection

from appliance.access import tenants
from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.store.users import Tenant


async def list_tenants(console: Console, actor: Actor) -> list[Tenant]:
    """By id."""
    _require(actor)
    return await tenants.list_all(console.engine)


async def tenants_to_give(console: Console, actor: Actor) -> list[Tenant]:
    """Those that the actor may put people into."""
    actor.require(Permission.USERS_READ)
    found = await tenants.list_all(console.engine)
    return [one for one in found if actor.sees(one.id)]


async def create_tenant(console: Console, actor: Actor, tenant: str, name: str) -> Tenant:
    """Raises UserError."""
    _require(actor)
    await tenants.create(console.engine, actor, tenant, name)
    return await _find(console, tenant)


async def rename_tenant(console: Console, actor: Actor, tenant: str, name: str) -> Tenant:
    """Raises NotFoundError, UserError."""
    _require(actor)
    await tenants.rename(console.engine, actor, tenant, name)
    return await _find(console, tenant)


async def assign(
    console: Console,
    actor: Actor,
    tenant: str,
    agents: Collection[str],
    bases: Collection[str],
) -> Tenant:
    """All of them, or none. Raises NotFoundError, UserError."""
    _require(actor)
    await tenants.assign(console.engine, actor, tenant, agents, bases)
    return await _find(console, tenant)


def _require(actor: Actor) -> None:
    """Whoever belongs to a tenant looks after none, whatever their role comes to allow."""
    actor.require(Permission.TENANTS_EDIT)
    if actor.tenant is not None:
        raise ForbiddenError("Tenants are the operator's to look after.")


async def _find(console: Console, tenant: str) -> Tenant:
    for one in await tenants.list_all(console.engine):
        if one.id == tenant:
            return one
    raise NotFoundError(f"There is no tenant {tenant!r}.")
