"""Whom a call would reach that is handed to a queue, an extension, a number or a SIP address."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.errors import UserError
from appliance.settings import Settings
from appliance.store.phonebook import Telephony
from appliance.store.trunks import load_telephony
from appliance.telephony.destinations import (
    Destination,
    Dialling,
    Kind,
    dial_plan,
    parse_destination,
)
from appliance.telephony.site import DEFAULTS

LONGEST_LETTERS = 256


@dataclass(frozen=True, slots=True)
class Reached:
    """Who is rung."""

    text: str
    """As it was written."""
    kind: str
    """queue, extension, number, sip, or empty: it is none of these."""
    name: str
    """Whose telephone, or the members of the queue (how many they are, for a tenant's people)."""
    longest_s: int
    """For how long it rings at most."""
    problem: str
    """Why nobody would be rung; empty: somebody would."""


async def read_telephony(console: Console) -> Telephony:
    """Trunks, queues, extensions, numbers and agents as ``ivr switch`` reads them."""
    async with console.engine.connect() as connection:
        return await connection.run_sync(load_telephony)


async def check(console: Console, actor: Actor, text: str) -> Reached:
    """Whom ``text`` would reach now."""
    actor.require(Permission.NUMBERS_READ)
    text = text.strip()[:LONGEST_LETTERS]
    return reached(actor, await read_telephony(console), console.settings, text)


def reached(actor: Actor, telephony: Telephony, settings: Settings, text: str) -> Reached:
    """By the telephony as of one moment; whether a trunk is up is not asked."""
    country = settings.switch.country
    try:
        destination = parse_destination(text, country)
    except UserError as e:
        return Reached(text, "", "", 0, str(e))
    name = _name(actor, telephony, destination)
    try:
        plan = dial_plan(destination, Dialling(telephony, country, DEFAULTS["domain"]))
    except UserError as e:
        return Reached(text, destination.kind.value, name, 0, str(e))
    return Reached(text, destination.kind.value, name, plan.longest_s, "")


def _name(actor: Actor, telephony: Telephony, destination: Destination) -> str:
    if destination.kind is Kind.QUEUE:
        queue = telephony.queues.get(destination.value)
        if queue is None:
            return ""
        people = ", ".join(queue.members)  # the operator's staff, and their own numbers
        return people if actor.may(Permission.TRUNKS_READ) else str(len(queue.members))
    if destination.kind is Kind.EXTENSION:
        extension = telephony.extensions.get(destination.value)
        return extension.name if extension else ""
    return ""
