"""Calls from the console: somebody tries an agent, or its draft, and speaks or types.

Everything is as in a caller's call, but that nobody's safety is at stake: what the guard finds is shown
to whoever tries, and goes to no review queue.
"""

from __future__ import annotations

from dataclasses import replace

from appliance.call.services import Services
from appliance.call.speaker import Journal
from appliance.events import Agent, CallRecord, Flag, Redaction, Turn
from appliance.turn.floor import Event
from appliance.turn.words import asks_for_person, is_farewell


def typed_event(text: str, agent: Agent, may_transfer: bool) -> Event:
    """What a typed turn is to the floor: the wish for a person, a goodbye, or (as a key with a
    meaning) something to be answered."""
    if may_transfer and asks_for_person(text, agent.transfer_words):
        return Event.ASKED_BY_KEY
    if is_farewell(text, agent.farewells):
        return Event.FAREWELL_TYPED
    return Event.KEY


def for_trial(services: Services) -> Services:
    """The worker's parts as a call from the console has them."""
    return replace(services, journal=UnflaggedJournal(services.journal))


class UnflaggedJournal:
    """The journal, but for flags: the person who tries the agent sees them at once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def call(self, record: CallRecord) -> None:
        """The call began, or ended."""
        self._journal.call(record)

    def turn(self, turn: Turn) -> None:
        """A turn is over."""
        self._journal.turn(turn)

    def redaction(self, span: Redaction) -> None:
        """A span of the recording that nobody may hear."""
        self._journal.redaction(span)

    def flag(self, flag: Flag) -> None:
        """The guard found something; nobody has to look at it."""
