"""Trunks: the carriers' gateways, and what is wrong with them. The operator's alone.

A password goes in and never comes out: not in an answer, not on a page, not in the audit log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.errors import UserError
from appliance.ops import trunks as ops
from appliance.ops.diagnosis import checks_of
from appliance.ops.switchclient import put_in_force
from appliance.ops.trunks import TrunkState
from appliance.store import number_views
from appliance.store import trunks as store
from appliance.store.number_views import Failure
from appliance.store.phonebook import NAME, CallerIdRule, Srtp, Transport, Trunk
from appliance.telephony.diagnose import Check

FAILURES_WITHIN = timedelta(days=1)
MOST_FAILURES = 20
MOST_DIAGNOSES = 2
"""At once; the next waits. Each blocks a thread for seconds."""
_DIAGNOSING = asyncio.Semaphore(MOST_DIAGNOSES)
FIELDS = (
    "proxy", "carrier", "priority", "transport", "register", "username", "password", "realm",
    "addresses", "codecs", "srtp", "number_format", "caller_id", "caller_id_rule", "max_calls",
    "ping_s",
)  # fmt: skip
"""What may be changed of a trunk."""


@dataclass(frozen=True, slots=True)
class ShownTrunk:
    """A trunk without its password, and how it is."""

    name: str
    proxy: str
    carrier: str
    priority: int
    transport: Transport
    register: bool
    username: str
    password_set: bool
    realm: str
    addresses: tuple[str, ...]
    codecs: tuple[str, ...]
    srtp: Srtp
    number_format: str
    caller_id: str
    caller_id_rule: CallerIdRule
    max_calls: int
    ping_s: int
    enabled: bool
    state: TrunkState
    failures: int
    """Calls through it that failed in the last day, for no reason of the people's."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trunks:
    """All of them."""

    trunks: tuple[ShownTrunk, ...]
    note: str
    """Why their state is not known; empty: it is."""


@dataclass(frozen=True, slots=True)
class SavedTrunk:
    """A trunk that was saved."""

    trunk: ShownTrunk
    in_force: str


@dataclass(frozen=True, slots=True)
class Heard:
    """RTP packets of one of the last calls on a trunk."""

    from_carrier: int
    to_carrier: int


async def trunks(console: Console, actor: Actor) -> Trunks:
    """Every trunk, in the order in which calls that we make try them."""
    actor.require(Permission.TRUNKS_READ)
    live, note = await asyncio.to_thread(ops.live_states, console.settings)
    async with console.engine.connect() as connection:
        found = await connection.run_sync(store.list_trunks)
        failures = await number_views.count_failures(connection, FAILURES_WITHIN)
    return Trunks(
        tuple(_shown(trunk, ops.state_of(trunk, live), failures) for trunk in found), note
    )


async def trunk(console: Console, actor: Actor, name: str) -> ShownTrunk:
    """One of them. Raises NotFoundError."""
    everything = await trunks(console, actor)
    for one in everything.trunks:
        if one.name == name:
            return one
    raise NotFoundError("There is no such trunk.")


async def failures(console: Console, actor: Actor, name: str) -> list[Failure]:
    """The last calls through it that failed, the latest first. Raises NotFoundError."""
    actor.require(Permission.TRUNKS_READ)
    await _named(console, name)
    async with console.engine.connect() as connection:
        return await number_views.last_failures(connection, name, FAILURES_WITHIN, MOST_FAILURES)


async def audio(console: Console, actor: Actor, name: str) -> list[Heard] | None:
    """Of the last calls on it, the latest last; None where no switch says so. Raises NotFoundError."""
    actor.require(Permission.TRUNKS_READ)
    await _named(console, name)
    found = await asyncio.to_thread(ops.audio_of, console.settings, name)
    if found is None:
        return None
    return [Heard(int(c.get("in_packets", 0)), int(c.get("out_packets", 0))) for c in found]


async def diagnose(console: Console, actor: Actor, name: str) -> AsyncIterator[Check]:
    """What is wrong with it, check by check as each is known: seconds in all. Raises NotFoundError."""
    actor.require(Permission.TRUNKS_READ)
    found = await _named(console, name)
    async with console.engine.begin() as connection:
        await audit.append(connection, actor, "trunk.diagnose", name, {}, None)
    return _checks(console, found)


async def _checks(console: Console, found: Trunk) -> AsyncIterator[Check]:
    async with _DIAGNOSING:
        checks = checks_of(console.settings, found)
        while (check := await asyncio.to_thread(next, checks, None)) is not None:
            yield check


async def add(console: Console, actor: Actor, new: Trunk) -> SavedTrunk:
    """Add a trunk and put it in force. Raises UserError: a wrong field, or it is there."""
    actor.require(Permission.TRUNKS_EDIT)
    country = console.settings.switch.country
    async with console.engine.begin() as connection:
        saved = await connection.run_sync(ops.insert, new, country)
        await audit.append(connection, actor, "trunk.add", saved.name, _facts(saved), None)
    return await _in_force(console, saved)


async def change(
    console: Console, actor: Actor, name: str, changes: Mapping[str, Any]
) -> SavedTrunk:
    """Change the fields of a trunk that ``changes`` names; a password that is left out, or empty, stays
    as it was. Raises UserError, NotFoundError."""
    actor.require(Permission.TRUNKS_EDIT)
    before = await _named(console, name)
    changes = {n: v for n, v in changes.items() if n in FIELDS and (n != "password" or v)}
    typed = "password" in changes
    changes = {n: v for n, v in changes.items() if getattr(before, n) != v}
    if not changes:
        return await _in_force(console, before)
    if _elsewhere(changes) and before.password and not typed:
        raise UserError(
            "Enter the password again: with another server, realm or transport it would be shown to"
            " somebody else."
        )
    country = console.settings.switch.country
    async with console.engine.begin() as connection:
        saved = await connection.run_sync(ops.update, name, changes, country)
        detail = {n: "changed" if n == "password" else v for n, v in changes.items()}
        await audit.append(connection, actor, "trunk.change", name, detail, None)
    return await _in_force(console, saved)


async def set_enabled(console: Console, actor: Actor, name: str, enabled: bool) -> SavedTrunk:
    """Take a trunk into use, or out of it. Raises NotFoundError."""
    actor.require(Permission.TRUNKS_EDIT)
    await _named(console, name)
    action = "trunk.enable" if enabled else "trunk.disable"
    async with console.engine.begin() as connection:
        saved = await connection.run_sync(ops.set_enabled, name, enabled)
        await audit.append(connection, actor, action, name, {}, None)
    return await _in_force(console, saved)


async def remove(console: Console, actor: Actor, name: str) -> str:
    """Remove a trunk; its live calls go on. Since when, as a sentence. Raises NotFoundError."""
    actor.require(Permission.TRUNKS_EDIT)
    await _named(console, name)
    async with console.engine.begin() as connection:
        gone = await connection.run_sync(ops.delete, name)
        await audit.append(connection, actor, "trunk.remove", name, _facts(gone), None)
    return await asyncio.to_thread(put_in_force, console.settings)


async def _in_force(console: Console, saved: Trunk) -> SavedTrunk:
    force = await asyncio.to_thread(put_in_force, console.settings)
    live, _ = await asyncio.to_thread(ops.live_states, console.settings)
    return SavedTrunk(_shown(saved, ops.state_of(saved, live), {}), force)


async def _named(console: Console, name: str) -> Trunk:
    if NAME.fullmatch(name):
        async with console.engine.connect() as connection:
            found = await connection.run_sync(store.list_trunks)
        for one in found:
            if one.name == name:
                return one
    raise NotFoundError("There is no such trunk.")


def _elsewhere(changes: Mapping[str, Any]) -> bool:
    """Whether the carrier's own challenge would be answered to another server, or more openly."""
    return bool({"proxy", "realm", "username"} & changes.keys()) or changes.get("transport") in (
        "udp", "tcp",
    )  # fmt: skip


def _shown(trunk: Trunk, state: TrunkState, failures: Mapping[str, int]) -> ShownTrunk:
    fields = ops.fields_of(trunk)
    return ShownTrunk(
        **fields,
        password_set=bool(trunk.password),
        state=state,
        failures=failures.get(trunk.name, 0),
        notes=() if not trunk.enabled else tuple(ops.notes_of(trunk)),
    )


def _facts(trunk: Trunk) -> dict[str, Any]:
    return ops.fields_of(trunk) | {"password_set": bool(trunk.password)}
