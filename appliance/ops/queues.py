"""``ivr queues``: people who share the calls transferred to ``queue:NAME``."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection

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
    country = settings.switch.country
    for member in queue.members:
        if parse_destination(member, country).kind is Kind.QUEUE:
            raise UserError(f"{member} is a queue; a queue's members are people.")

    def work(connection: Connection) -> list[str]:
        store.save_queue(connection, queue)
        return missing(connection, list(queue.members), country)

    notes = in_database(settings, work)
    facts = {"action": "added", "queue": dataclasses.asdict(queue)}
    tell_change(settings, f"Queue {queue.name} added.", facts, notes, as_json)


def remove(settings: Settings, name: str, *, as_json: bool) -> None:
    """Raises UserError when there is no such queue."""

    def work(connection: Connection) -> list[str]:
        if not store.remove_queue(connection, name):
            raise UserError(f"There is no queue {name!r}.")
        wanted = f"queue:{name}"
        numbers = store.list_numbers(connection)
        using = [n.did for n in numbers if wanted in (n.closed_to, n.overflow_to)]
        return [f"number {did} still hands calls to {wanted}" for did in using]

    notes = in_database(settings, work)
    facts = {"action": "removed", "queue": {"name": name}}
    tell_change(settings, f"Queue {name} removed.", facts, notes, as_json)
