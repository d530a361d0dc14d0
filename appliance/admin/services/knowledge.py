"""Knowledge bases: what there is, who answers from it, made and taken away."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access import audit
from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.theirs import base_of
from appliance.errors import UserError
from appliance.store import dropping
from appliance.store.access_models import MAIN_TENANT
from appliance.store.base_views import BaseFacts, create_base, list_bases_of
from appliance.store.dropping import Dropped
from appliance.store.versions import Version, list_versions


@dataclass(frozen=True, slots=True)
class Created:
    """A base that was made."""

    id: int
    name: str
    tenant: str


async def bases(console: Console, actor: Actor) -> list[BaseFacts]:
    """The bases of the actor's tenant, by name."""
    actor.require(Permission.KNOWLEDGE_READ)
    return await list_bases_of(console.engine, actor.tenant)


async def base(console: Console, actor: Actor, base_id: int) -> BaseFacts:
    """One base. Raises NotFoundError."""
    actor.require(Permission.KNOWLEDGE_READ)
    await base_of(console, actor, base_id)
    found = await list_bases_of(console.engine, actor.tenant, base_id)
    if not found:  # dropped meanwhile
        raise NotFoundError("There is no such knowledge base.")
    return found[0]


async def create(console: Console, actor: Actor, name: str, tenant: str = "") -> Created:
    """Make an empty base for the actor's tenant; the operator's people may say for which one.

    Raises UserError: a name that will not do, that is taken, or that is theirs already.
    """
    actor.require(Permission.KNOWLEDGE_EDIT)
    if actor.tenant is not None and tenant not in ("", actor.tenant):
        raise ForbiddenError("You may make knowledge bases for your own tenant only.")
    owner = actor.tenant or tenant or MAIN_TENANT
    name = name.strip()
    async with console.engine.begin() as connection:
        base_id, is_new = await create_base(connection, name, owner)
        if not is_new:
            raise UserError(f"There is a knowledge base {name} already.")
        await audit.append(connection, actor, "knowledge.create", name, {"base": base_id}, owner)
    return Created(base_id, name, owner)


async def versions(console: Console, actor: Actor, base_id: int) -> list[Version]:
    """The versions of a base, the latest first. Raises NotFoundError."""
    actor.require(Permission.KNOWLEDGE_READ)
    key = await base_of(console, actor, base_id)
    return await list_versions(console.engine, key.name)


async def drop(console: Console, actor: Actor, base_id: int) -> Dropped:
    """Take a base away with all its documents. Raises NotFoundError; UserError: an agent answers from
    it."""
    actor.require(Permission.KNOWLEDGE_EDIT)
    key = await base_of(console, actor, base_id)
    detail = {"base": base_id, "version": key.version}

    async def log(connection: AsyncConnection) -> None:
        await audit.append(connection, actor, "knowledge.drop", key.name, detail, key.tenant)

    return await dropping.drop(console.engine, key.name, also=log)
