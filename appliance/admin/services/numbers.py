"""Numbers: which agent answers, when, and who does otherwise; within the actor's tenant.

A tenant's people route the numbers that are theirs. Which numbers those are is the operator's to say,
unless the box has one tenant only: who could put a number there could take another's calls.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access import audit
from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.theirs import agent_tenant
from appliance.errors import UserError
from appliance.numbers import candidates
from appliance.ops import numbers as ops
from appliance.ops.switchclient import put_in_force
from appliance.settings import Settings
from appliance.store import number_views as store
from appliance.store.models import ANY_DID
from appliance.store.number_views import NumberLine
from appliance.store.trunks import NumberEntry, remove_number
from appliance.telephony.hours import parse_hours

MOST_LISTED = 200
LONGEST_DID_LETTERS = 64
LONGEST_TEXT_LETTERS = 1000
LONGEST_SEARCH_LETTERS = 100
NO_NUMBER = "There is no such number."
_OPERATORS = "Which numbers are yours is the operator's to say. Ask them."


@dataclass(frozen=True, slots=True)
class OpenState:
    """What hours say of a moment."""

    open: bool
    changes_at: datetime | None
    """When that changes next; None: never, or not within a week."""
    problem: str
    """Why the hours cannot be read: then it is treated as open."""


@dataclass(frozen=True, slots=True)
class ShownNumber:
    """A number in the list."""

    line: NumberLine
    now: OpenState


@dataclass(frozen=True, slots=True)
class Numbers:
    """One page of numbers."""

    numbers: tuple[ShownNumber, ...]
    total: int
    may_assign: bool
    """Whether the actor may add numbers and take them away."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A number that was saved."""

    number: ShownNumber
    notes: tuple[str, ...]
    """What its editor should know."""
    in_force: str
    """Since when, as a sentence."""


async def numbers(
    console: Console, actor: Actor, *, text: str = "", limit: int = 50, offset: int = 0
) -> Numbers:
    """Theirs, by number; ``text``: in number or agent."""
    actor.require(Permission.NUMBERS_READ)
    text = text.replace("\0", "").strip()[:LONGEST_SEARCH_LETTERS]
    async with console.engine.connect() as connection:
        lines = await store.list_numbers(
            connection, actor.tenant, text=text, limit=min(max(limit, 1), MOST_LISTED),
            offset=min(max(offset, 0), 1_000_000),
        )  # fmt: skip
        total = await store.count_numbers(connection, actor.tenant, text)
        may = await _may_assign(connection, actor)
    return Numbers(tuple(_shown(console.settings, line) for line in lines), total, may)


async def number(console: Console, actor: Actor, did: str) -> ShownNumber:
    """One of theirs, in whatever form it is written. Raises NotFoundError."""
    actor.require(Permission.NUMBERS_READ)
    async with console.engine.connect() as connection:
        return _shown(console.settings, await _theirs(connection, console, actor, did))


async def agents(console: Console, actor: Actor) -> Mapping[str, str]:
    """Agents that may answer a number: names by id."""
    actor.require(Permission.NUMBERS_READ)
    async with console.engine.connect() as connection:
        return await store.agents_for_numbers(connection, actor.tenant)


def open_state(settings: Settings, hours: str, at: datetime | None = None) -> OpenState:
    """Whether ``hours`` hold at ``at`` (now), and until when."""
    at = at or datetime.now(UTC)
    try:
        read = parse_hours(hours, settings.switch.timezone)
    except UserError as e:
        return OpenState(True, None, str(e))
    if not read.open_at(at):
        return OpenState(False, read.next_opening(at), "")
    closes = read.closes_at(at)
    return OpenState(True, closes if not read.open_at(closes) else None, "")


async def save(console: Console, actor: Actor, entry: NumberEntry, *, new: bool) -> Saved:
    """Add a number (``new``), or change one of theirs, and put it in force.

    Raises UserError: hours, agent or a destination are wrong, or it is there; NotFoundError;
    ForbiddenError.
    """
    actor.require(Permission.NUMBERS_EDIT)
    entry = _checked(entry)
    tenant = await agent_tenant(console, actor, entry.agent_id)
    async with console.engine.begin() as connection:
        before = await store.find_number(connection, _forms(console, entry.did), lock=True)
        if new:
            await _check_new(connection, actor, before)
        elif before is None or not actor.sees(before.tenant):
            raise NotFoundError(NO_NUMBER)
        else:
            entry = dataclasses.replace(entry, did=before.did)
        stored, notes = await connection.run_sync(ops.save, console.settings, entry)
        line = await store.find_number(connection, (stored.did,))
        assert line is not None
        action = "number.add" if new else "number.change"
        detail = dataclasses.asdict(stored)
        detail.pop("did")
        await audit.append(connection, actor, action, stored.did, detail, tenant)
        if before is not None and before.tenant != tenant:
            moved = {"to_agent": stored.agent_id}
            await audit.append(connection, actor, "number.leave", stored.did, moved, before.tenant)
    force = await asyncio.to_thread(put_in_force, console.settings)
    return Saved(_shown(console.settings, line), tuple(notes), force)


async def remove(console: Console, actor: Actor, did: str) -> str:
    """Let no agent of its own answer it; since when, as a sentence. Raises NotFoundError,
    ForbiddenError."""
    actor.require(Permission.NUMBERS_EDIT)
    country = console.settings.switch.country
    async with console.engine.begin() as connection:
        line = await _theirs(connection, console, actor, did)
        if not await _may_assign(connection, actor):
            raise ForbiddenError(_OPERATORS)
        await connection.run_sync(remove_number, line.did, country)
        detail = {"agent_id": line.agent_id}
        await audit.append(connection, actor, "number.remove", line.did, detail, line.tenant)
    return await asyncio.to_thread(put_in_force, console.settings)


async def _may_assign(connection: AsyncConnection, actor: Actor) -> bool:
    if not actor.may(Permission.NUMBERS_EDIT):
        return False
    return actor.tenant is None or await store.count_tenants(connection) == 1


async def _check_new(connection: AsyncConnection, actor: Actor, before: NumberLine | None) -> None:
    if not await _may_assign(connection, actor):
        raise ForbiddenError(_OPERATORS)
    if before is not None:
        raise UserError(f"{before.did} is answered by an agent already. Change it instead.")


async def _theirs(
    connection: AsyncConnection, console: Console, actor: Actor, did: str
) -> NumberLine:
    found = await store.find_number(connection, _forms(console, did))
    if found is None or not actor.sees(found.tenant):
        raise NotFoundError(NO_NUMBER)
    return found


def _forms(console: Console, did: str) -> tuple[str, ...]:
    if did.strip() == ANY_DID:
        return (ANY_DID,)
    return candidates(did[:LONGEST_DID_LETTERS].replace("\0", ""), console.settings.switch.country)


def _shown(settings: Settings, line: NumberLine) -> ShownNumber:
    return ShownNumber(line, open_state(settings, line.hours))


def _checked(entry: NumberEntry) -> NumberEntry:
    """Raises UserError for texts that are too long, or that nobody can read."""
    entry = NumberEntry(**{n: v.strip() for n, v in dataclasses.asdict(entry).items()})
    entry = dataclasses.replace(entry, hours=" ".join(entry.hours.split()))
    if len(entry.did) > LONGEST_DID_LETTERS or not entry.did.isprintable():
        raise UserError("That is no number; write it like +918022223333.")
    if len(entry.closed_text) > LONGEST_TEXT_LETTERS:
        raise UserError(f"What is said when closed has {LONGEST_TEXT_LETTERS} letters at most.")
    for text in (entry.closed_to, entry.overflow_to, entry.agent_id, entry.closed_text):
        if "\0" in text:
            raise UserError("A text holds a character that nobody can read.")
    return entry
