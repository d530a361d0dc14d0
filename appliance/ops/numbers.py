"""``ivr numbers``: which agent answers a number, when, and who does otherwise."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection

from appliance.access.commandline import Act, changing
from appliance.errors import UserError
from appliance.ops.console import print_json, print_table, tell_change
from appliance.settings import Settings
from appliance.store import trunks as store
from appliance.store.database import in_database
from appliance.store.trunks import NumberEntry
from appliance.telephony.destinations import Kind, parse_destination
from appliance.telephony.hours import parse_hours


def print_numbers(settings: Settings, *, as_json: bool) -> None:
    """Every number that has an agent."""
    numbers = in_database(settings, store.list_numbers)
    if as_json:
        print_json({"numbers": [dataclasses.asdict(number) for number in numbers]})
        return
    print_table(
        ("number", "agent", "hours", "when closed", "when full"),
        [
            (
                "every other" if n.did == "*" else n.did,
                n.agent_id,
                n.hours or "always",
                n.closed_to or (f"“{n.closed_text}”" if n.closed_text else "-"),
                n.overflow_to or "-",
            )
            for n in numbers
        ],
        "No numbers. Add one: ivr numbers add +918022223333 --agent ID",
    )


def add(settings: Settings, entry: NumberEntry, *, as_json: bool) -> None:
    """Add or replace a number. Raises UserError: no such agent, hours or a destination are wrong."""
    stored, notes = changing(
        settings, lambda c: save(c, settings, entry), lambda done: _act("number.add", done[0])
    )
    facts = {"action": "added", "number": dataclasses.asdict(stored)}
    sentence = f"{stored.did} is answered by agent {stored.agent_id}."
    tell_change(settings, sentence, facts, notes, as_json)


def save(
    connection: Connection, settings: Settings, entry: NumberEntry
) -> tuple[NumberEntry, list[str]]:
    """Add or replace a number: as it is stored, and what its operator should know. Raises UserError."""
    country = settings.switch.country
    if not entry.did.strip():
        raise UserError("Name the number, such as +918022223333, or * for every other one.")
    parse_hours(entry.hours, settings.switch.timezone)
    texts = [text for text in (entry.closed_to, entry.overflow_to) if text]
    for text in texts:
        parse_destination(text, country)
    stored = store.save_number(connection, entry, country)
    notes = missing(connection, texts, country)
    if stored.hours and not (stored.closed_text or stored.closed_to):
        notes.append("outside its hours callers hear nothing and are hung up on (--closed-text)")
    return stored, notes


def remove(settings: Settings, did: str, *, as_json: bool) -> None:
    """Raises UserError when the number has no agent."""
    country = settings.switch.country

    def work(connection: Connection) -> NumberEntry:
        stored = {one.did: one for one in store.list_numbers(connection)}
        if not store.remove_number(connection, did, country):
            raise UserError(f"The number {did!r} has no agent of its own.")
        left = {one.did for one in store.list_numbers(connection)}
        return next(one for key, one in stored.items() if key not in left)

    changing(settings, work, lambda gone: _act("number.remove", gone))
    facts = {"action": "removed", "number": {"did": did}}
    tell_change(settings, f"{did} has no agent of its own any more.", facts, [], as_json)


def _act(action: str, entry: NumberEntry) -> Act:
    detail = dataclasses.asdict(entry)
    return Act(action, detail.pop("did"), detail, agent=entry.agent_id)


def missing(connection: Connection, texts: list[str], country: str) -> list[str]:
    """What of ``texts`` names a queue or an extension that is not there; a note each."""
    queues = {queue.name for queue in store.list_queues(connection)}
    extensions = {e.extension for e in store.list_extensions(connection)}
    notes = []
    for text in texts:
        found = parse_destination(text, country)
        if found.kind is Kind.QUEUE and found.value not in queues:
            notes.append(f"there is no queue {found.value} yet (ivr queues add)")
        if found.kind is Kind.EXTENSION and found.value not in extensions:
            notes.append(f"there is no extension {found.value} yet (ivr extensions add)")
    return notes
