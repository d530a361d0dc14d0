"""An agent's draft: read, saved, checked, compared, published; and an old version brought back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access import audit
from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.agents import defaults
from appliance.admin.agents.check import check
from appliance.admin.agents.diff import Change, changed_fields, diff
from appliance.admin.agents.enginesurvey import Survey, survey
from appliance.admin.agents.problems import Problem, Site
from appliance.admin.console import Console
from appliance.admin.services.agents import lock, summary_of, version_of, written_fields
from appliance.errors import UserError
from appliance.store import agent_views
from appliance.store.agent_views import AgentSummary
from appliance.store.agents import parse_agent, publish_in
from appliance.store.drafts import (
    Draft,
    check_fields,
    end_draft,
    expect_draft,
    read_draft,
    save_draft,
)
from appliance.store.trunks import list_extensions, list_queues

LONGEST_NOTE_LETTERS = 500
DRAFT: Literal["draft"] = "draft"
_UNKNOWN = frozenset({"stt", "tts", "llm"})


@dataclass(frozen=True, slots=True)
class Edited:
    """What the editor shows: the draft, or where there is none the latest version."""

    agent_id: str
    fields: dict[str, Any]
    """Every field that an author writes."""
    revision: int
    """Of the draft, to be named when it is saved; 0: there is none."""
    based_on: int
    version: int
    """The latest one; 0: none is published."""
    updated_by: str
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A version that calls get from now on."""

    agent_id: str
    version: int
    fields: tuple[str, ...]
    """Names of those that changed."""


class WrongDraftError(UserError):
    """It cannot be published as it is; ``problems`` are all of them, warnings too."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        errors = [problem for problem in problems if problem.severity == "error"]
        first = f"{errors[0].field}: {errors[0].sentence}"
        more = f" And {len(errors) - 1} more." if len(errors) > 1 else ""
        super().__init__(f"This cannot be published yet. {first}{more}")
        self.problems = tuple(problems)


async def read(console: Console, actor: Actor, agent_id: str) -> Edited:
    """The draft, or what a new one begins from. Raises NotFoundError."""
    actor.require(Permission.AGENTS_READ)
    async with console.engine.connect() as connection:
        return await _edited(connection, actor, agent_id)


async def save(
    console: Console, actor: Actor, agent_id: str, fields: dict[str, Any], seen: int
) -> Edited:
    """Save the whole draft; fields left out get their defaults. ``seen``: the revision that was
    read, 0 for none.

    Raises DraftConflictError, NotFoundError, and UserError for what cannot be kept.
    """
    actor.require(Permission.AGENTS_EDIT)
    check_fields(fields)
    fields = defaults.DEFAULTS | fields
    async with console.engine.begin() as connection:
        await lock(connection, actor, agent_id)
        before = await _edited(connection, actor, agent_id)
        changed = changed_fields(before.fields, fields)
        await _check_reach(connection, actor, agent_id, changed, fields)
        saved = await save_draft(connection, agent_id, fields, seen, actor.name, before.version)
        if saved.revision != before.revision:
            head = await summary_of(connection, actor, agent_id)
            detail = {"revision": saved.revision, "fields": changed}
            await audit.append(connection, actor, "agent.save", agent_id, detail, head.tenant)
    return _of_draft(saved, before.version)


async def discard(console: Console, actor: Actor, agent_id: str, seen: int) -> None:
    """Throw the draft away. Raises DraftConflictError, NotFoundError (also: there is none)."""
    actor.require(Permission.AGENTS_EDIT)
    async with console.engine.begin() as connection:
        await lock(connection, actor, agent_id)
        head = await summary_of(connection, actor, agent_id)
        if await end_draft(connection, agent_id, seen, actor.name) is None:
            raise NotFoundError("There is no draft of this agent.")
        detail = {"revision": seen}
        await audit.append(connection, actor, "agent.discard", agent_id, detail, head.tenant)


async def problems(
    console: Console,
    actor: Actor,
    agent_id: str,
    fields: dict[str, Any] | None = None,
    seen: Survey | None = None,
) -> tuple[Problem, ...]:
    """All that is wrong with the draft (or with ``fields``), errors first. ``seen``: what the engine
    servers said a moment ago; None: they are asked now."""
    actor.require(Permission.AGENTS_READ)
    seen = seen or await survey(console.settings, console.http)
    async with console.engine.connect() as connection:
        edited = await _edited(connection, actor, agent_id)
        head = await summary_of(connection, actor, agent_id)
        site = await _site(console, connection, head, seen)
    if fields is not None:
        edited = replace(edited, fields=defaults.DEFAULTS | fields)
    return _problems(edited, site)


async def changes(
    console: Console, actor: Actor, agent_id: str, before: int | Literal["draft"],
    after: int | Literal["draft"],
) -> tuple[Change, ...]:  # fmt: skip
    """What leads from one version (0: none) to another, or to the draft. Raises NotFoundError."""
    actor.require(Permission.AGENTS_READ)
    async with console.engine.connect() as connection:
        edited = await _edited(connection, actor, agent_id)

        async def fields_of(which: int | Literal["draft"]) -> dict[str, Any]:
            if which == DRAFT:
                return edited.fields
            if which == 0:
                return {}
            return written_fields(await version_of(connection, agent_id, which))

        return diff(await fields_of(before), await fields_of(after))


async def publish(console: Console, actor: Actor, agent_id: str, seen: int, note: str) -> Outcome:
    """Make the draft the next version: calls that begin from now on get it.

    Raises WrongDraftError, DraftConflictError, NotFoundError, and UserError: nothing has changed.
    """
    actor.require(Permission.AGENTS_PUBLISH)
    note = _checked_note(note)
    engines = await survey(console.settings, console.http)
    async with console.engine.begin() as connection:
        await lock(connection, actor, agent_id)
        edited = await _edited(connection, actor, agent_id)
        await expect_draft(connection, agent_id, seen)
        if not edited.revision:
            raise NotFoundError("There is no draft of this agent.")
        head = await summary_of(connection, actor, agent_id)
        before: dict[str, Any] = {}
        if edited.version:
            before = written_fields(await version_of(connection, agent_id, 0))
        changed = changed_fields(before, edited.fields)
        if not changed:
            raise UserError("Nothing has changed since the latest version.")
        found = _problems(edited, await _site(console, connection, head, engines))
        if any(problem.severity == "error" for problem in found):
            raise WrongDraftError(found)
        draft = parse_agent(edited.fields | {"id": agent_id, "version": 0})
        published = await publish_in(connection, draft, actor.name, note)
        await end_draft(connection, agent_id, seen, actor.name, published.version)
        await _log(connection, actor, "agent.publish", head, published.version, changed)
    return Outcome(agent_id, published.version, changed)


async def roll_back(
    console: Console, actor: Actor, agent_id: str, version: int, note: str = ""
) -> Outcome:
    """Publish an old version again, as the next one. Engine servers are not asked: it answered
    before. Raises WrongDraftError (its knowledge base is gone), NotFoundError, UserError."""
    actor.require(Permission.AGENTS_PUBLISH)
    note = _checked_note(note)
    async with console.engine.begin() as connection:
        await lock(connection, actor, agent_id)
        head = await summary_of(connection, actor, agent_id)
        now = await version_of(connection, agent_id, 0)
        old = await version_of(connection, agent_id, version)
        changed = changed_fields(written_fields(now), written_fields(old))
        if not changed:
            raise UserError(f"Version {version} says the same as version {now.version}.")
        _check_door(actor, changed, old.bot_url)
        site = await _site(console, connection, head, Survey(has_llm=True, away=_UNKNOWN))
        found = check(written_fields(old) | {"id": agent_id, "version": 0}, site)
        if any(problem.severity == "error" for problem in found):
            raise WrongDraftError(found)
        note = f"Back to version {version}." + (f" {note}" if note else "")
        published = await publish_in(connection, old, actor.name, note)
        await _log(
            connection, actor, "agent.rollback", head, published.version, changed, to=version
        )
    return Outcome(agent_id, published.version, changed)


async def _edited(connection: AsyncConnection, actor: Actor, agent_id: str) -> Edited:
    head = await summary_of(connection, actor, agent_id)
    draft = await read_draft(connection, agent_id)
    if draft is not None and draft.fields:
        return _of_draft(draft, head.version)
    fields: dict[str, Any] = defaults.DEFAULTS | {"name": head.name}
    if head.version:
        fields = written_fields(await version_of(connection, agent_id, 0))
    return Edited(agent_id, fields, 0, head.version, head.version, "", None)


def _of_draft(draft: Draft, version: int) -> Edited:
    fields = defaults.DEFAULTS | draft.fields
    return Edited(
        draft.agent_id, fields, draft.revision, draft.based_on, version,
        draft.updated_by, draft.updated_at,
    )  # fmt: skip


def _check_door(actor: Actor, changed: Sequence[str], bot_url: str) -> None:
    """A bot that the operator let in, or has taken away since, is theirs to choose: by an old version
    too. Raises ForbiddenError."""
    if "bot_url" in changed and bot_url and actor.tenant is not None:
        raise ForbiddenError(
            "Only the operator may let an external bot (bot_url) take calls: it is a door to another"
            " machine. Ask them, or empty the field."
        )


async def _check_reach(
    connection: AsyncConnection,
    actor: Actor,
    agent_id: str,
    changed: Sequence[str],
    fields: dict[str, Any],
) -> None:
    """A draft can be tried at once, so what it reaches for is looked at when it is saved."""
    _check_door(actor, changed, fields["bot_url"])
    menu = fields["language_menu"]
    named = menu.values() if isinstance(menu, dict) else (menu,)
    if not all(isinstance(name, str) for name in (fields["knowledge"], *named)):
        raise UserError("knowledge is a name, and language_menu a table of ids of agents.")
    if "language_menu" in changed:
        head = await summary_of(connection, actor, agent_id)
        known = await agent_views.agents_of(connection, head.tenant)
        if strange := [other for other in named if other and other not in known]:
            raise UserError(f"language_menu: there is no agent {strange[0][:64]!r}.")


async def _site(
    console: Console, connection: AsyncConnection, head: AgentSummary, seen: Survey
) -> Site:
    known = await agent_views.agents_of(connection, head.tenant)
    return Site(
        survey=seen,
        bases=await agent_views.bases_of(connection, head.tenant),
        agents={other: version for other, (_, version) in known.items()},
        queues={queue.name for queue in await connection.run_sync(list_queues)},
        extensions={e.extension for e in await connection.run_sync(list_extensions)},
        country=console.settings.switch.country,
    )


def _problems(edited: Edited, site: Site) -> tuple[Problem, ...]:
    found = check(edited.fields | {"id": edited.agent_id, "version": 0}, site)
    if edited.revision and edited.based_on < edited.version:
        says = (
            "Version {now} was published after this draft was begun from version {then}: what it"
            " changed is not in the draft. Compare them before you publish."
        )
        values = {"now": str(edited.version), "then": str(edited.based_on)}
        found += (Problem("warning", "", says, values),)
    return found


async def _log(
    connection: AsyncConnection,
    actor: Actor,
    action: str,
    head: AgentSummary,
    version: int,
    changed: Sequence[str],
    **more: int,
) -> None:
    detail = {"version": version, "was": head.version, "fields": changed, **more}
    await audit.append(connection, actor, action, head.id, detail, head.tenant)


def _checked_note(note: str) -> str:
    note = note.strip().replace("\0", "")
    if len(note) > LONGEST_NOTE_LETTERS:
        raise UserError(f"A note has at most {LONGEST_NOTE_LETTERS} letters.")
    return note
