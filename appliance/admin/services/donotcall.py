"""The do-not-call list: a number on it is called by nobody; who put it there sees why."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.errors import UserError
from appliance.numbers import e164, is_public
from appliance.ops.donotcall import numbers_of
from appliance.outreach.campaigns.contacts import decode
from appliance.store import donotcall as store
from appliance.store.donotcall import DoNotCallEntry
from appliance.store.outbound import add_do_not_call

MOST_LISTED = 200
MOST_ROWS = 500_000
LONGEST_REASON_LETTERS = 200
LONGEST_SEARCH_LETTERS = 100


@dataclass(frozen=True, slots=True)
class Entries:
    """One page of the list."""

    entries: tuple[DoNotCallEntry, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Looked:
    """Whether a number may be called."""

    number: str
    """E.164."""
    listed: bool
    """By anybody."""
    mine: tuple[DoNotCallEntry, ...]
    """As the actor's own people put it there."""


async def entries(
    console: Console, actor: Actor, *, text: str = "", limit: int = 50, offset: int = 0
) -> Entries:
    """What the actor's people put there, the latest first; ``text``: in number or reason."""
    actor.require(Permission.CAMPAIGNS_READ)
    text = text.replace("\0", "").strip()[:LONGEST_SEARCH_LETTERS]
    async with console.engine.connect() as connection:
        found = await store.list_do_not_call(
            connection, actor.tenant, text=text, limit=min(max(limit, 1), MOST_LISTED),
            offset=min(max(offset, 0), 10_000_000),
        )  # fmt: skip
        return Entries(tuple(found), await store.count_do_not_call(connection, actor.tenant, text))


async def look_up(console: Console, actor: Actor, number: str) -> Looked:
    """Raises UserError: it is no telephone number."""
    actor.require(Permission.CAMPAIGNS_READ)
    whole = _number(console, number)
    async with console.engine.connect() as connection:
        listed = await store.on_do_not_call(connection, [whole])
        found = await store.list_do_not_call(
            connection, actor.tenant, text=whole, limit=MOST_LISTED, offset=0
        )
    mine = tuple(entry for entry in found if entry.number == whole)
    return Looked(whole, bool(listed), mine)


async def add(console: Console, actor: Actor, numbers: Sequence[str], reason: str) -> int:
    """Add numbers, all or none; how many were new. Raises UserError naming the first that is none."""
    actor.require(Permission.CAMPAIGNS_EDIT)
    if not numbers:
        raise UserError("Write a telephone number.")
    reason = _reason(reason)
    country, tenant = console.settings.switch.country, actor.tenant

    def work(connection: Connection) -> int:
        added = add_do_not_call(connection, numbers, reason, country, tenant or "")
        one = e164(numbers[0], country) if len(numbers) == 1 else f"{len(numbers)} numbers"
        detail = {"given": len(numbers), "added": added, "reason": reason}
        audit.append_sync(connection, actor, "do_not_call.add", one, detail, tenant)
        return added

    async with console.engine.begin() as connection:
        return int(await connection.run_sync(work))


async def upload(console: Console, actor: Actor, data: bytes, reason: str) -> tuple[int, int]:
    """Add the first column of a CSV or text file, all or none: how many were new, and given.

    Raises UserError naming the first lines that are no numbers.
    """
    actor.require(Permission.CAMPAIGNS_EDIT)
    most = console.settings.admin.upload_mb
    if len(data) > most << 20:
        raise UserError(f"The list is over {most} MiB. Cut it into several.")
    numbers = await asyncio.to_thread(_numbers, data, console.settings.switch.country)
    return await add(console, actor, numbers, reason), len(numbers)


async def remove(console: Console, actor: Actor, number: str, reason: str) -> None:
    """Take a number off what the actor's people put there. ``reason`` goes into the audit log. Raises
    UserError, NotFoundError: they did not put it there."""
    actor.require(Permission.CAMPAIGNS_EDIT)
    whole, reason = _number(console, number), _reason(reason)
    if not reason:
        raise UserError("Say why the number may be called again.")
    async with console.engine.begin() as connection:
        if not await store.remove_do_not_call(connection, whole, actor.tenant):
            raise NotFoundError("That number is not on your list.")
        detail = {"reason": reason}
        await audit.append(connection, actor, "do_not_call.remove", whole, detail, actor.tenant)


def _numbers(data: bytes, country: str) -> list[str]:
    text, _ = decode(data)
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as e:
        raise UserError(f"The list cannot be read: {e}.") from e
    if len(rows) > MOST_ROWS:
        raise UserError(f"The list has over {MOST_ROWS:,} rows. Cut it into several.")
    cells = [(line, row[0].strip()) for line, row in enumerate(rows, 1) if row and row[0].strip()]
    return numbers_of(cells, country)


def _number(console: Console, number: str) -> str:
    country = console.settings.switch.country
    if not is_public(number, country):
        raise UserError(f"{number[:40]!r} is no telephone number; write it like +919876543210.")
    return e164(number, country)


def _reason(reason: str) -> str:
    text = " ".join(reason.split())
    if len(text) > LONGEST_REASON_LETTERS or not text.isprintable():
        raise UserError(f"A reason has {LONGEST_REASON_LETTERS} letters at most.")
    return text
