"""Erasing a call, or all that is kept of its caller, because they ask for it: first what it would be,
then, with the same words repeated, the deed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.access import audit
from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.onecall import found_call
from appliance.errors import UserError
from appliance.numbers import is_public
from appliance.privacy import erasure
from appliance.store import erasing
from appliance.store.call_log import LoggedCall
from appliance.store.calls import LONGEST_CALL
from appliance.store.erasing import OldCall
from appliance.store.tenancy import tenant_of_agent

MOST_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class ErasurePreview:
    """What would be erased."""

    call_id: str
    number: str
    """The caller's, or that of whom we rang; empty: not known, so nobody can be erased by it."""
    calls: int
    """Calls with that number, :data:`MOST_COUNTED` at most."""


@dataclass(frozen=True, slots=True)
class ErasureDone:
    """What was erased; ``left`` 0 is the proof."""

    calls: int
    files: int
    rows: int
    left: int
    limits: tuple[str, ...]
    """What is not erased by this."""


async def preview_erasure(console: Console, actor: Actor, call_id: str) -> ErasurePreview:
    """What erasing this call, or its caller, would take away. Raises NotFoundError."""
    actor.require(Permission.CALLS_ERASE)
    logged = await _found(console, actor, call_id)
    number = number_of(logged)
    country = console.settings.switch.country
    if not is_public(number, country):
        return ErasurePreview(call_id, "", 1)
    forms = erasure.forms_of(number, country)
    calls = await erasing.calls_of(console.engine, forms, MOST_COUNTED, actor.tenant)
    return ErasurePreview(call_id, number, len(calls))


async def erase_call(console: Console, actor: Actor, call_id: str, confirm: str) -> ErasureDone:
    """Erase one call: recording, words, rows. ``confirm`` is its id once more.

    Raises NotFoundError; UserError while it lives, or where ``confirm`` is something else.
    """
    actor.require(Permission.CALLS_ERASE)
    logged = await _found(console, actor, call_id)
    if confirm != call_id:
        raise UserError("To erase this call, repeat its id as confirmation.")
    call = logged.call
    if call.ended_at is None and call.started_at > datetime.now(UTC) - LONGEST_CALL:
        raise UserError("The call is still going on. Erase it when it is over.")
    old = OldCall(call.call_id, call.agent_id, call.started_at, call.recording)
    await _note(console, actor, "call.erase", call_id, call.agent_id, {})
    line = await erasure.erase_call(console.engine, console.settings, old, actor.name)
    return ErasureDone(line.calls, line.files, line.rows, line.left, erasure.LIMITS)


async def erase_caller(console: Console, actor: Actor, call_id: str, confirm: str) -> ErasureDone:
    """Erase all that is kept of the caller of this call. ``confirm`` is their number once more.

    People of a tenant erase calls with its agents; others' stay. Raises as :func:`erase_call`.
    """
    actor.require(Permission.CALLS_ERASE)
    logged = await _found(console, actor, call_id)
    number = number_of(logged)
    if not number or confirm.strip() != number:
        raise UserError("To erase all calls of a caller, repeat their number as the call has it.")
    key = erasure.key_of(number, console.settings)
    await _note(console, actor, "caller.erase", call_id, logged.call.agent_id, {"caller": key})
    report = await erasure.erase_caller(
        console.engine, console.settings, number, actor.name, actor.tenant
    )
    return ErasureDone(report.calls, report.files, report.rows, report.left, report.limits)


def number_of(logged: LoggedCall) -> str:
    """The number of the person at the other end."""
    return logged.call.did if logged.call.direction == "out" else logged.call.caller


async def _found(console: Console, actor: Actor, call_id: str) -> LoggedCall:
    async with console.engine.connect() as connection:
        return await found_call(connection, actor, call_id)


async def _note(
    console: Console,
    actor: Actor,
    action: str,
    call_id: str,
    agent_id: str,
    detail: dict[str, str],
) -> None:
    """Before the deed: what was begun stands in the audit log however it ends."""
    async with console.engine.begin() as connection:
        tenant = await tenant_of_agent(connection, agent_id)
        await audit.append(connection, actor, action, call_id, detail, tenant)
