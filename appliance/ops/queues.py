"""``ivr queues``: people who share the calls transferred to ``queue:NAME``."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection

from appliance.access.commandline import Act, changing
from appliance.errors import UserError
from appliance.ops.console import print_json, print_table, tell_change
from appliance.ops.numbers import missing
from appliance.settings import Settings
from appliance.store import trunks as store
from appliance.store.database import in_database
from appliance.store.phonebook import Queue
from appliance.telephony.destinations import Kind, parse_destination

_STRATEGIES = {"all": "all at once", "order": "one after the other"}


def print_queues(settings: Settings, *, as_json: bool) -> None:
    queues = in_database(settings, store.list_queues)
    if as_json:
        print_json({"queues": [dataclasses.asdict(queue) for queue in queues]})
        return
    print_table(
        ("queue", "members", "ring", "each for", "wait at most"),
        [
            (
                q.name, ", ".join(q.members), _STRATEGIES[q.strategy],
                f"{q.ring_s} s", f"{q.max_wait_s} s",
            )
            for q in queues
        ],
        "No queues. Add one: ivr queues add support 1001 1002",
    )  # fmt: skip


def add(settings: Settings, queue: Queue, *, as_json: bool) -> None:
    """Add or replace a queue. Raises UserError: a member that cannot be rung, a wrong number."""
    act = Act("queue.save", queue.name, dataclasses.asdict(queue))
    notes = changing(settings, lambda c: save(c, queue, settings.switch.country), act)
    facts = {"action": "added", "queue": dataclasses.asdict(queue)}
    tell_change(settings, f"Queue {queue.name} added.", facts, notes, as_json)


def remove(settings: Settings, name: str, *, as_json: bool) -> None:
    """Raises UserError when there is no such queue."""
    act = Act("queue.remove", name)
    notes = changing(settings, lambda connection: delete(connection, name), act)
    facts = {"action": "removed", "queue": {"name": name}}
    tell_change(settings, f"Queue {name} removed.", facts, notes, as_json)


def save(connection: Connection, queue: Queue, country: str) -> list[str]:
    """Add or replace a queue; what its operator should know. Raises UserError."""
    for member in queue.members:
        if parse_destination(member, country).kind is Kind.QUEUE:
            raise UserError(f"{member} is a queue; a queue's members are people.")
    store.save_queue(connection, queue)
    return missing(connection, list(queue.members), country)


def delete(connection: Connection, name: str) -> list[str]:
    """Take it away; what still names it. Raises UserError when there is no such queue."""
    if not store.remove_queue(connection, name):
        raise UserError(f"There is no queue {name!r}.")
    wanted = f"queue:{name}"
    numbers = store.list_numbers(connection)
    using = [n.did for n in numbers if wanted in (n.closed_to, n.overflow_to)]
    return [f"number {did} still hands calls to {wanted}" for did in using]
