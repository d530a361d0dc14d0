"""One live call as people see it, and what each event of its worker makes of it. No clock, no I/O.

Events come from ``GET /watch`` (docs/wires.md §1) in any order that a restart, a transfer or a lost
connection may give them: none of them breaks a call, and what is malformed changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from appliance.events import Turn

MOST_LINES = 200
"""Of a transcript: half an hour of talk; the oldest go, the journal has them all."""
MOST_GAPS = 30
LONGEST_TEXT_LETTERS = 4000
LONGEST_NAME_LETTERS = 200
MOST_FOUND = 4
PERSON_HAS_IT = frozenset({"ATTENDED_TRANSFER", "BLIND_TRANSFER"})
"""Causes with which a worker's part of a call ends because a person has the caller."""


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


_OF_FLOOR = {
    "ringing": CallState.RINGING,
    "answering": CallState.RINGING,
    "machine": CallState.RINGING,
    "listening": CallState.LISTENING,
    "caller": CallState.LISTENING,
    "paused": CallState.LISTENING,
    "contested": CallState.LISTENING,
    "replying": CallState.THINKING,
    "speaking": CallState.SPEAKING,
    "protected": CallState.SPEAKING,
    "closing": CallState.SPEAKING,
    "connecting": CallState.TRANSFERRING,
    "bot": CallState.BOT,
    "ended": CallState.ENDED,
}
_OF_SWITCH = {
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
        of_switch = _OF_SWITCH.get(self.switch_state)
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


def apply(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    """The call after ``event`` of its worker, taken in at ``now_s`` (Unix seconds)."""
    kind = event.get("event")
    if kind == "call":
        return _begin(call, event, now_s)
    if call.is_over:
        return call
    work = _WORK.get(kind) if isinstance(kind, str) else None
    return call if work is None else work(call, event, now_s)


def lost(call: LiveCall, now_s: float) -> LiveCall:
    """Its worker does not answer."""
    kept = (CallState.ENDED, CallState.PERSON)
    return call if call.state in kept else _to(call, CallState.LOST, now_s)


def gone(call: LiveCall, now_s: float, cause: str = "", by: str = "") -> LiveCall:
    """It is over; nobody said how where ``cause`` is empty."""
    if call.is_over:
        return call
    ended = dataclasses.replace(
        call, cause=cause, ended_by=by, ended_at=now_s, hearing="", switch_state=""
    )
    return _to(ended, CallState.ENDED, now_s)


def of_switch(call: LiveCall, facts: Mapping[str, Any], now_s: float) -> LiveCall:
    """The call with what ``ivr switch`` says of it (``GET /v1/calls``)."""
    state = _text(facts, "state", LONGEST_NAME_LETTERS)
    before = call.shown_state
    after = dataclasses.replace(
        call,
        did=call.did or _text(facts, "did", LONGEST_NAME_LETTERS),
        caller=call.caller or _text(facts, "caller", LONGEST_NAME_LETTERS),
        agent_id=call.agent_id or _text(facts, "agent", LONGEST_NAME_LETTERS),
        trunk=_text(facts, "trunk", LONGEST_NAME_LETTERS),
        direction=_text(facts, "direction", LONGEST_NAME_LETTERS) or call.direction,
        started_at=call.started_at or _when(facts.get("started_at")),
        to=_text(facts, "transferred_to", LONGEST_NAME_LETTERS) or call.to,
        switch_state=state,
    )
    if after.shown_state is not before:
        after = dataclasses.replace(after, state_at=now_s)
    return after


def at_worker(call: LiveCall, worker: str) -> LiveCall:
    """The call, carried by the worker at that URL."""
    return dataclasses.replace(call, worker=worker)


def with_past(call: LiveCall, turns: Sequence[Turn]) -> LiveCall:
    """The call with the turns that were over before anybody watched it."""
    known = {line.turn for line in call.lines if line.turn}
    older = tuple(line for turn in turns if turn.index not in known for line in _lines_of(turn))
    gaps = tuple(line.gap_ms for line in older if line.gap_ms is not None)
    return dataclasses.replace(
        call,
        lines=(older + call.lines)[-MOST_LINES:],
        gaps_ms=(gaps + call.gaps_ms)[-MOST_GAPS:],
        turns=max(call.turns, len(turns)),
    )


def _lines_of(turn: Turn) -> tuple[Line, ...]:
    found = tuple(passage.heading for passage in turn.passages if passage.cited)[:MOST_FOUND]
    return turn_lines(dataclasses.asdict(turn), 0, found)


def turn_lines(
    turn: Mapping[str, Any], at_ms: int, found: tuple[str, ...] = ()
) -> tuple[Line, ...]:
    """What a turn that is over adds to a transcript: the caller's words, the agent's as heard."""
    stages = turn.get("stages")
    marks: Mapping[str, Any] = stages if isinstance(stages, Mapping) else {}
    index, said = _int(turn, "index") or 0, _text(turn, "said")
    heard = _text(turn, "heard")
    lines = []
    if said:
        begun = _int(marks, "speech_start")
        lines.append(Line("caller", said, at_ms if begun is None else begun, index))
    if heard:
        begun = _int(marks, "first_frame")
        lines.append(
            Line(
                "agent", heard, at_ms if begun is None else begun, index,
                gap_ms=_int(turn, "gap_ms"),
                source=_text(turn, "source", LONGEST_NAME_LETTERS),
                cut=turn.get("barged_in") is True,
                found=found,
                failure=_text(turn, "failure", LONGEST_NAME_LETTERS),
            )
        )  # fmt: skip
    return tuple(lines)


# --- one function for each event ------------------------------------------------------------------


def _begin(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    part = _int(event, "part") or 1
    floor = _text(event, "state", LONGEST_NAME_LETTERS)
    begun = dataclasses.replace(
        call,
        part=part,
        did=_text(event, "did", LONGEST_NAME_LETTERS),
        caller=_text(event, "caller", LONGEST_NAME_LETTERS),
        direction=_text(event, "direction", LONGEST_NAME_LETTERS) or "in",
        agent_id=_text(event, "agent_id", LONGEST_NAME_LETTERS),
        agent_name=_text(event, "agent", LONGEST_NAME_LETTERS),
        agent_version=_int(event, "version") or 0,
        language=_text(event, "language", LONGEST_NAME_LETTERS),
        started_at=_when(event.get("started_at")) or call.started_at,
        held=event.get("held") is True,
        turns=max(call.turns, _int(event, "turns") or 0),
        cause="", ended_by="", ended_at=0.0,
    )  # fmt: skip
    return _to(begun, _OF_FLOOR.get(floor, CallState.RINGING), now_s)


def _hears(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    heard = dataclasses.replace(call, hearing=_text(event, "text"))
    if call.state in (CallState.RINGING, CallState.LOST):
        return _to(heard, CallState.LISTENING, now_s)
    return heard


def _turn_given(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    said = _text(event, "said")
    given = dataclasses.replace(call, hearing="", found=(), gap_ms=None)
    if said:
        given = _add(given, Line("caller", said, _ms(event)))
    return _move(given, CallState.THINKING, now_s)


def _audible(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    gap = _int(event, "gap_ms")
    gaps = call.gaps_ms if gap is None else (*call.gaps_ms, gap)[-MOST_GAPS:]
    found = event.get("found")
    headings = [
        _text(one, "heading", LONGEST_NAME_LETTERS)
        for one in (found if isinstance(found, list) else [])[:MOST_FOUND]
        if isinstance(one, Mapping)
    ]
    heard = dataclasses.replace(call, gap_ms=gap, gaps_ms=gaps, found=tuple(filter(None, headings)))
    return _move(heard, CallState.SPEAKING, now_s)


def _phrase(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    text, last = _text(event, "text"), call.lines[-1] if call.lines else None
    if text and last is not None and last.who == "agent" and not last.turn:
        whole = f"{last.text} {text}"[:LONGEST_TEXT_LETTERS]
        line = dataclasses.replace(last, text=whole)
        call = dataclasses.replace(call, lines=(*call.lines[:-1], line))
    elif text:
        call = _add(call, Line("agent", text, _ms(event)))
    return _move(call, CallState.SPEAKING, now_s)


def _turn_over(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    turn = event.get("turn")
    if not isinstance(turn, Mapping):
        return call
    kept = tuple(line for line in call.lines if line.turn or line.who not in ("caller", "agent"))
    index = _int(turn, "index") or 0
    kept = tuple(line for line in kept if not index or line.turn != index)  # written again
    lines = turn_lines(turn, _ms(event), _cited(turn) or call.found)
    over = dataclasses.replace(
        call,
        lines=(*kept, *lines)[-MOST_LINES:],
        turns=max(call.turns + 1, index),
        found=(),
        gap_ms=None,
        # words of a turn that was given are in its line; others are the next turn's
        hearing="" if _text(turn, "said") and not turn.get("barged_in") else call.hearing,
    )
    return _move(over, CallState.LISTENING, now_s)


def _cited(turn: Mapping[str, Any]) -> tuple[str, ...]:
    passages = turn.get("passages")
    cited = [
        _text(one, "heading", LONGEST_NAME_LETTERS)
        for one in (passages if isinstance(passages, list) else [])
        if isinstance(one, Mapping) and one.get("cited") is True
    ]
    return tuple(filter(None, cited))[:MOST_FOUND]


def _yield(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    return _move(call, CallState.LISTENING, now_s)


def _carry_on(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    return _move(dataclasses.replace(call, hearing=""), CallState.SPEAKING, now_s)


def _transfer(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    to = _text(event, "to", LONGEST_NAME_LETTERS)
    noted = _add(dataclasses.replace(call, to=to), Line("note", f"→ {to}", _ms(event)))
    return _to(noted, CallState.TRANSFERRING, now_s)


def _transfer_failed(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    cause = _text(event, "cause", LONGEST_NAME_LETTERS)
    noted = _add(dataclasses.replace(call, to=""), Line("note", f"✕ {cause}", _ms(event)))
    return _to(noted, CallState.SPEAKING, now_s)


def _hold(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    return dataclasses.replace(call, held=event.get("on") is True, state_at=now_s)


def _whisper(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    text = _text(event, "text")
    return _add(call, Line("supervisor", text, _ms(event))) if text else call


def _key(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    digit = _text(event, "digit", 1)
    return _add(call, Line("note", f"⌨ {digit}", _ms(event))) if digit else call


def _answered_by(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    who = _text(event, "who", LONGEST_NAME_LETTERS)
    known = dataclasses.replace(call, answered_by=who)
    return _move(known, CallState.LISTENING, now_s) if call.state is CallState.RINGING else known


def _end(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    part = _int(event, "part")
    if part is not None and part < call.part:
        return call  # a part that a later one has taken the place of
    cause = _text(event, "cause", LONGEST_NAME_LETTERS)
    if cause in PERSON_HAS_IT:
        kept = dataclasses.replace(call, hearing="", worker="")
        return _to(kept, CallState.PERSON, now_s)
    return gone(call, now_s, cause, _text(event, "by", LONGEST_NAME_LETTERS))


_WORK = {
    "partial": _hears,
    "final": _hears,
    "turn": _turn_given,
    "audible": _audible,
    "phrase": _phrase,
    "turn_over": _turn_over,
    "yield": _yield,
    "carry_on": _carry_on,
    "transfer": _transfer,
    "transfer_failed": _transfer_failed,
    "hold": _hold,
    "whisper": _whisper,
    "key": _key,
    "answered_by": _answered_by,
    "end": _end,
}


# --- small things ---------------------------------------------------------------------------------


def _to(call: LiveCall, state: CallState, now_s: float) -> LiveCall:
    if call.state is state:
        return call
    return dataclasses.replace(call, state=state, state_at=now_s)


def _move(call: LiveCall, state: CallState, now_s: float) -> LiveCall:
    """As sound on the line would have it."""
    return call if call.state in _SETTLED else _to(call, state, now_s)


def _add(call: LiveCall, line: Line) -> LiveCall:
    return dataclasses.replace(call, lines=(*call.lines, line)[-MOST_LINES:])


def _text(source: Mapping[str, Any], name: str, longest: int = LONGEST_TEXT_LETTERS) -> str:
    value = source.get(name)
    return value[:longest] if isinstance(value, str) else ""


def _int(source: Mapping[str, Any], name: str) -> int | None:
    value = source.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _ms(event: Mapping[str, Any]) -> int:
    return _int(event, "ms") or 0


def _when(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
