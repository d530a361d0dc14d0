"""An agent, a knowledge base, a flag or a document, if it is one of the actor's tenant: else there is
no such thing."""

from __future__ import annotations

from dataclasses import replace

from appliance.access.actor import Actor, NotFoundError
from appliance.admin.console import Console
from appliance.events import Agent
from appliance.store.agents import load_agent
from appliance.store.base_views import BaseKey, find_base, find_base_named
from appliance.store.document_views import DocumentView, list_documents
from appliance.store.tenancy import tenant_of_agent

LARGEST_ID = (1 << 63) - 1
"""What a bigint holds; a number beyond it in a URL is nothing's."""


async def agent_tenant(console: Console, actor: Actor, agent_id: str) -> str:
    """The tenant of an agent of theirs. Raises NotFoundError."""
    if "\0" not in agent_id:
        async with console.engine.connect() as connection:
            tenant = await tenant_of_agent(connection, agent_id)
        if tenant is not None and actor.sees(tenant):
            return tenant
    raise NotFoundError("There is no such agent.")


async def agent_of(console: Console, actor: Actor, agent_id: str) -> tuple[Agent, str]:
    """An agent of theirs in its version in force, and its tenant. Raises NotFoundError.

    A knowledge base of another tenant that it names is none of its.
    """
    tenant = await agent_tenant(console, actor, agent_id)
    agent = await load_agent(console.engine, agent_id)
    if agent is None:
        raise NotFoundError("No version of this agent is published yet.")
    if agent.knowledge and await find_base_named(console.engine, agent.knowledge, tenant) is None:
        agent = replace(agent, knowledge="", knowledge_version=0)
    return agent, tenant


async def base_of(console: Console, actor: Actor, base_id: int) -> BaseKey:
    """A knowledge base of theirs. Raises NotFoundError."""
    base = None
    if 0 < base_id <= LARGEST_ID:
        base = await find_base(console.engine, base_id, actor.tenant)
    if base is None:
        raise NotFoundError("There is no such knowledge base.")
    return base


async def document_of(
    console: Console, actor: Actor, base_id: int, document_id: int
) -> tuple[BaseKey, DocumentView]:
    """A document of a base of theirs. Raises NotFoundError."""
    base = await base_of(console, actor, base_id)
    found = []
    if 0 < document_id <= LARGEST_ID:
        found = await list_documents(console.engine, base.name, ids=[document_id])
    if not found:
        raise NotFoundError("There is no such document.")
    return base, found[0]
