"""One live call as people see it, and how it changes. No clock, no I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from appliance.admin.live.fields import moment, short

MOST_LINES = 200
"""Of a transcript: half an hour of talk; the oldest go, the journal has them all."""


class CallState(StrEnum):
    """What is being done with the caller."""

    MENU = "menu"
    """The language menu, before any agent."""
    WAITING = "waiting"
    """Told to hold until a worker has room."""
    RINGING = "ringing"
    """Being answered; of a call that we made, until somebody has said something."""
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    TRANSFERRING = "transferring"
    """A person is being fetched."""
    PERSON = "person"
    """A person has the caller."""
    BOT = "bot"
    """An external bot has the caller: it does not say what it is doing."""
    HOLD = "hold"
    """The far end holds the line."""
    LOST = "lost"
    """Its worker does not answer; the call may live on."""
    ENDED = "ended"


OF_SWITCH = {
    "new": CallState.RINGING,
    "menu": CallState.MENU,
    "waiting": CallState.WAITING,
    "connecting": CallState.RINGING,
    "transferring": CallState.TRANSFERRING,
    "blind": CallState.TRANSFERRING,
    "person": CallState.PERSON,
}
_SETTLED = frozenset({CallState.TRANSFERRING, CallState.PERSON, CallState.BOT, CallState.ENDED})
"""States that sound on the line does not change."""

Who = Literal["caller", "agent", "supervisor", "note"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a live transcript."""

    who: Who
    text: str
    """As it may be shown: redacted by the worker."""
    at_ms: int
    """On the call's media clock."""
    turn: int = 0
    """The turn's number once it is over; 0: it may still change."""
    gap_ms: int | None = None
    """Of an agent's line: how long the caller waited for it."""
    source: str = ""
    """Of an agent's line: ``llm``, ``extractive``, ``cached``, ``greeting``, …"""
    cut: bool = False
    """The caller interrupted it; ``text`` is what was heard."""
    found: tuple[str, ...] = ()
    """Headings of the passages that the answer rests on, the best first."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call in progress, from what its worker (and ``ivr switch``) said of it."""

    call_id: str
    worker: str = ""
    """URL of the worker that has it; empty: none."""
    part: int = 1
    did: str = ""
    caller: str = ""
    direction: str = "in"
    agent_id: str = ""
    agent_name: str = ""
    agent_version: int = 0
    language: str = ""
    trunk: str = ""
    started_at: datetime | None = None
    state: CallState = CallState.RINGING
    state_at: float = 0.0
    """Unix seconds since when it is in that state."""
    held: bool = False
    hearing: str = ""
    """What the caller is saying, so far."""
    lines: tuple[Line, ...] = ()
    gaps_ms: tuple[int, ...] = ()
    """Of the last turns, oldest first."""
    turns: int = 0
    found: tuple[str, ...] = ()
    """For the answer under way."""
    gap_ms: int | None = None
    """Of the answer under way."""
    to: str = ""
    """Whom the caller is, or was, transferred to."""
    answered_by: str = ""
    switch_state: str = ""
    """As ``ivr switch`` says; empty: it does not know the call."""
    cause: str = ""
    ended_by: str = ""
    ended_at: float = 0.0

    @property
    def shown_state(self) -> CallState:
        """With what the telephone side knows better."""
        if self.state is CallState.ENDED:
            return CallState.ENDED
        of_switch = OF_SWITCH.get(self.switch_state)
        if of_switch in (CallState.PERSON, CallState.MENU, CallState.WAITING):
            return of_switch
        if of_switch is CallState.TRANSFERRING and self.state is not CallState.PERSON:
            return of_switch
        return CallState.HOLD if self.held else self.state

    @property
    def is_over(self) -> bool:
        return self.state is CallState.ENDED

    def last(self, who: Who) -> str:
        """The latest words of a side."""
        if who == "caller" and self.hearing:
            return self.hearing
        return next((line.text for line in reversed(self.lines) if line.who == who), "")


def lost(call: LiveCall, now_s: float) -> LiveCall:
    """Its worker does not answer."""
    kept = (CallState.ENDED, CallState.PERSON)
    return call if call.state in kept else to_state(call, CallState.LOST, now_s)


def gone(call: LiveCall, now_s: float, cause: str = "", by: str = "") -> LiveCall:
    """It is over; nobody said how where ``cause`` is empty."""
    if call.is_over:
        return call
    ended = dataclasses.replace(
        call, cause=cause, ended_by=by, ended_at=now_s, hearing="", switch_state=""
    )
    return to_state(ended, CallState.ENDED, now_s)


def of_switch(call: LiveCall, facts: Mapping[str, Any], now_s: float) -> LiveCall:
    """The call with what ``ivr switch`` says of it (``GET /v1/calls``)."""
    state = short(facts, "state")
    before = call.shown_state
    after = dataclasses.replace(
        call,
        did=call.did or short(facts, "did"),
        caller=call.caller or short(facts, "caller"),
        agent_id=call.agent_id or short(facts, "agent"),
        trunk=short(facts, "trunk"),
        direction=short(facts, "direction") or call.direction,
        started_at=call.started_at or moment(facts.get("started_at")),
        to=short(facts, "transferred_to") or call.to,
        switch_state=state,
    )
    if after.shown_state is not before:
        after = dataclasses.replace(after, state_at=now_s)
    return after


def at_worker(call: LiveCall, worker: str) -> LiveCall:
    """The call, carried by the worker at that URL."""
    return dataclasses.replace(call, worker=worker)


def to_state(call: LiveCall, state: CallState, now_s: float) -> LiveCall:
    """The call in ``state``, since ``now_s`` where it was in another."""
    if call.state is state:
        return call
    return dataclasses.replace(call, state=state, state_at=now_s)


def on_the_line(call: LiveCall, state: CallState, now_s: float) -> LiveCall:
    """The call in ``state``, as sound on the line would have it."""
    return call if call.state in _SETTLED else to_state(call, state, now_s)


def with_line(call: LiveCall, line: Line) -> LiveCall:
    """The call with another line in its transcript."""
    return dataclasses.replace(call, lines=(*call.lines, line)[-MOST_LINES:])
