"""Agents: which there are, their versions, made and given to a tenant. What is changed in them is
``services.drafts``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access import audit, tenants
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.agents import defaults
from appliance.admin.agents.enginesurvey import survey
from appliance.admin.console import Console
from appliance.errors import UserError
from appliance.events import Agent
from appliance.store import agent_views
from appliance.store.access_models import MAIN_TENANT
from appliance.store.agent_views import AgentSummary, Version
from appliance.store.agents import AGENT_ID, CONFIG_FIELDS, agent_fields
from appliance.store.drafts import read_draft, save_draft

MOST_LISTED = 200
LARGEST_VERSION = (1 << 31) - 1
LONGEST_NAME_LETTERS = 80
NO_AGENT = "There is no such agent."


@dataclass(frozen=True, slots=True)
class Published:
    """An agent in one version, as its author wrote it."""

    agent_id: str
    version: int
    fields: dict[str, Any]


async def agents(
    console: Console, actor: Actor, *, search: str = "", limit: int = 50, offset: int = 0
) -> list[AgentSummary]:
    """Theirs, by name; ``search``: a part of name or id."""
    actor.require(Permission.AGENTS_READ)
    async with console.engine.connect() as connection:
        return await agent_views.list_agents(
            connection,
            actor.tenant,
            search=search.replace("\0", ""),
            limit=min(max(limit, 1), MOST_LISTED),
            offset=max(offset, 0),
        )


async def agent(console: Console, actor: Actor, agent_id: str) -> AgentSummary:
    """One of theirs. Raises NotFoundError."""
    actor.require(Permission.AGENTS_READ)
    async with console.engine.connect() as connection:
        return await summary_of(connection, actor, agent_id)


async def versions(
    console: Console, actor: Actor, agent_id: str, *, limit: int = 50, offset: int = 0
) -> list[Version]:
    """What was published, the newest first. Raises NotFoundError."""
    actor.require(Permission.AGENTS_READ)
    async with console.engine.connect() as connection:
        await summary_of(connection, actor, agent_id)
        return await agent_views.versions_of(
            connection, agent_id, limit=min(max(limit, 1), MOST_LISTED), offset=max(offset, 0)
        )


async def version(console: Console, actor: Actor, agent_id: str, number: int) -> Published:
    """One version (0: the latest), with the name that the agent has now. Raises NotFoundError."""
    actor.require(Permission.AGENTS_READ)
    async with console.engine.connect() as connection:
        await summary_of(connection, actor, agent_id)
        found = await version_of(connection, agent_id, number)
    return Published(agent_id, found.version, written_fields(found))


async def create(
    console: Console,
    actor: Actor,
    agent_id: str,
    name: str,
    *,
    language: str = "en",
    copy_of: str = "",
    tenant: str = "",
) -> AgentSummary:
    """Make an agent with a draft: blank with phrases of ``language``, or as ``copy_of`` is in its
    latest version, else in its draft. For the actor's tenant; the operator's people may say which.

    Raises UserError (id wrong or taken), NotFoundError.
    """
    actor.require(Permission.AGENTS_EDIT)
    owner = actor.tenant or tenant or MAIN_TENANT
    if tenant and not actor.sees(tenant):
        raise NotFoundError("There is no such tenant.")
    _check_head(agent_id, name)
    voices = () if copy_of else (await survey(console.settings, console.http)).voices_of(language)
    async with console.engine.begin() as connection:
        if copy_of:
            fields = await _copied(connection, actor, copy_of, owner)
        else:
            fields = defaults.blank(language, voices)
        fields["name"] = name.strip()
        await agent_views.create_agent(connection, agent_id, fields["name"], owner)
        await save_draft(connection, agent_id, fields, 0, actor.name, 0)
        detail = {"language": fields["language"], "copy_of": copy_of}
        await audit.append(connection, actor, "agent.create", agent_id, detail, owner)
    return await agent(console, actor, agent_id)


async def assign(console: Console, actor: Actor, agent_id: str, tenant: str) -> AgentSummary:
    """Give an agent to another tenant, with its calls, its numbers and the knowledge base that it
    answers from. Raises NotFoundError; UserError: an agent that stays names that base, or this
    agent."""
    actor.require(Permission.TENANTS_EDIT)
    async with console.engine.connect() as connection:
        was = await summary_of(connection, actor, agent_id)
        base = await _base_of(connection, agent_id, was)
    if was.tenant != tenant:
        bases = (base,) if base else ()
        await tenants.assign(console.engine, actor, tenant, (agent_id,), bases)
    return await agent(console, actor, agent_id)


async def summary_of(connection: AsyncConnection, actor: Actor, agent_id: str) -> AgentSummary:
    """One of the actor's. Raises NotFoundError."""
    if AGENT_ID.fullmatch(agent_id):
        found = await agent_views.read_summary(connection, agent_id, actor.tenant)
        if found is not None:
            return found
    raise NotFoundError(NO_AGENT)


async def lock(connection: AsyncConnection, actor: Actor, agent_id: str) -> None:
    """Nobody else changes it until the transaction ends. Raises NotFoundError."""
    known = AGENT_ID.fullmatch(agent_id)
    if not known or not await agent_views.lock_agent(connection, agent_id, actor.tenant):
        raise NotFoundError(NO_AGENT)


async def version_of(connection: AsyncConnection, agent_id: str, number: int) -> Agent:
    """A version (0: the latest). Raises NotFoundError."""
    found = None
    if 0 <= number <= LARGEST_VERSION:
        found = await agent_views.read_version(connection, agent_id, number)
    if found is None:
        what = f"version {number}" if number else "published version"
        raise NotFoundError(f"There is no {what} of this agent.")
    return found


def written_fields(found: Agent) -> dict[str, Any]:
    """What its author wrote: all but id and versions."""
    return {name: value for name, value in agent_fields(found).items() if name in CONFIG_FIELDS}


async def _copied(
    connection: AsyncConnection, actor: Actor, copy_of: str, owner: str
) -> dict[str, Any]:
    source = await summary_of(connection, actor, copy_of)
    if source.version:
        fields = written_fields(await version_of(connection, copy_of, 0))
    else:
        draft = await read_draft(connection, copy_of)
        if draft is None or not draft.fields:
            raise NotFoundError("The agent to be copied has neither version nor draft.")
        fields = dict(draft.fields)
    if source.tenant != owner:  # its knowledge and its other languages stay where they are
        fields |= {"knowledge": "", "language_menu": {}, "language_prompt": ""}
    return fields


async def _base_of(connection: AsyncConnection, agent_id: str, was: AgentSummary) -> str:
    """The knowledge base of the agent's latest version, else of its draft, if it is its tenant's."""
    if was.version:
        name = (await version_of(connection, agent_id, 0)).knowledge
    else:
        draft = await read_draft(connection, agent_id)
        name = str(draft.fields.get("knowledge", "")) if draft else ""
    return name if name in await agent_views.bases_of(connection, was.tenant) else ""


def _check_head(agent_id: str, name: str) -> None:
    if not AGENT_ID.fullmatch(agent_id):
        raise UserError(
            "An agent's id has letters, digits, - and _, 64 at most, and begins with a letter or"
            " digit."
        )
    if not name.strip() or len(name) > LONGEST_NAME_LETTERS or "\0" in name:
        raise UserError(f"An agent's name has 1 to {LONGEST_NAME_LETTERS} letters.")
