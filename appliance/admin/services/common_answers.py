"""Answers to what callers ask often, made in advance: looked at, and withdrawn."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.theirs import agent_tenant
from appliance.store import cached_answers as store
from appliance.store.cached_answers import KeptAnswer


async def answers(console: Console, actor: Actor, agent_id: str = "") -> list[KeptAnswer]:
    """The answers kept for one agent or (empty) all of the actor's tenant, those asked most first.
    Raises NotFoundError."""
    actor.require(Permission.FLAGS_READ)
    if agent_id:
        await agent_tenant(console, actor, agent_id)
    return await store.list_answers(console.engine, agent_id, actor.tenant)


async def withdraw(console: Console, actor: Actor, agent_id: str, wording: str) -> None:
    """Have a question (as ``wording`` folds it) no longer answered from memory, until agent or
    knowledge change. Raises NotFoundError: no such answer is in use."""
    actor.require(Permission.FLAGS_DECIDE)
    tenant = await agent_tenant(console, actor, agent_id)

    async def log(connection: AsyncConnection) -> None:
        await audit.append(connection, actor, "answer.withdraw", agent_id, {}, tenant)

    known = "\0" not in wording
    if not known or not await store.withdraw(console.engine, agent_id, [wording], log):
        raise NotFoundError("No such answer is in use.")
