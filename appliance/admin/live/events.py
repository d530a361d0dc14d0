"""What each event of its worker makes of a live call. No clock, no I/O.

Events come from ``GET /watch`` (docs/wires.md §1) in any order that a restart, a transfer or a lost
connection may give them: none of them breaks a call, and what is malformed changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.admin.live.fields import (
    LONGEST_TEXT_LETTERS,
    clock_ms,
    integer,
    moment,
    short,
    words,
)
from appliance.admin.live.state import (
    MOST_LINES,
    CallState,
    Line,
    LiveCall,
    gone,
    on_the_line,
    to_state,
    with_line,
)
from appliance.events import Turn

MOST_GAPS = 30
MOST_FOUND = 4
PERSON_HAS_IT = frozenset({"ATTENDED_TRANSFER", "BLIND_TRANSFER"})
"""Causes with which a worker's part of a call ends because a person has the caller."""

OF_FLOOR = {
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


def apply(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    """The call after ``event`` of its worker, taken in at ``now_s`` (Unix seconds)."""
    kind = event.get("event")
    if kind == "call":
        return _begin(call, event, now_s)
    if call.is_over:
        return call
    work = WORK.get(kind) if isinstance(kind, str) else None
    return call if work is None else work(call, event, now_s)


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
    index, said = integer(turn, "index") or 0, words(turn, "said")
    heard = words(turn, "heard")
    lines = []
    if said:
        begun = integer(marks, "speech_start")
        lines.append(Line("caller", said, at_ms if begun is None else begun, index))
    if heard:
        begun = integer(marks, "first_frame")
        lines.append(
            Line(
                "agent", heard, at_ms if begun is None else begun, index,
                gap_ms=integer(turn, "gap_ms"),
                source=short(turn, "source"),
                cut=turn.get("barged_in") is True,
                found=found,
                failure=short(turn, "failure"),
            )
        )  # fmt: skip
    return tuple(lines)


# --- one function for each event ------------------------------------------------------------------


def _begin(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    part = integer(event, "part") or 1
    floor = short(event, "state")
    begun = dataclasses.replace(
        call,
        part=part,
        did=short(event, "did"),
        caller=short(event, "caller"),
        direction=short(event, "direction") or "in",
        agent_id=short(event, "agent_id"),
        agent_name=short(event, "agent"),
        agent_version=integer(event, "version") or 0,
        language=short(event, "language"),
        started_at=moment(event.get("started_at")) or call.started_at,
        held=event.get("held") is True,
        turns=max(call.turns, integer(event, "turns") or 0),
        cause="", ended_by="", ended_at=0.0,
    )  # fmt: skip
    return to_state(begun, OF_FLOOR.get(floor, CallState.RINGING), now_s)


def _hears(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    heard = dataclasses.replace(call, hearing=words(event, "text"))
    if call.state in (CallState.RINGING, CallState.LOST):
        return to_state(heard, CallState.LISTENING, now_s)
    return heard


def _turn_given(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    said = words(event, "said")
    given = dataclasses.replace(call, hearing="", found=(), gap_ms=None)
    if said:
        given = with_line(given, Line("caller", said, clock_ms(event)))
    return on_the_line(given, CallState.THINKING, now_s)


def _audible(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    gap = integer(event, "gap_ms")
    gaps = call.gaps_ms if gap is None else (*call.gaps_ms, gap)[-MOST_GAPS:]
    found = event.get("found")
    headings = [
        short(one, "heading")
        for one in (found if isinstance(found, list) else [])[:MOST_FOUND]
        if isinstance(one, Mapping)
    ]
    heard = dataclasses.replace(call, gap_ms=gap, gaps_ms=gaps, found=tuple(filter(None, headings)))
    return on_the_line(heard, CallState.SPEAKING, now_s)


def _phrase(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    text, last = words(event, "text"), call.lines[-1] if call.lines else None
    if text and last is not None and last.who == "agent" and not last.turn:
        whole = f"{last.text} {text}"[:LONGEST_TEXT_LETTERS]
        line = dataclasses.replace(last, text=whole)
        call = dataclasses.replace(call, lines=(*call.lines[:-1], line))
    elif text:
        call = with_line(call, Line("agent", text, clock_ms(event)))
    return on_the_line(call, CallState.SPEAKING, now_s)


def _turn_over(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    turn = event.get("turn")
    if not isinstance(turn, Mapping):
        return call
    kept = tuple(line for line in call.lines if line.turn or line.who not in ("caller", "agent"))
    index = integer(turn, "index") or 0
    kept = tuple(line for line in kept if not index or line.turn != index)  # written again
    lines = turn_lines(turn, clock_ms(event), _cited(turn) or call.found)
    over = dataclasses.replace(
        call,
        lines=(*kept, *lines)[-MOST_LINES:],
        turns=max(call.turns + 1, index),
        found=(),
        gap_ms=None,
        # words of a turn that was given are in its line; others are the next turn's
        hearing="" if words(turn, "said") and not turn.get("barged_in") else call.hearing,
    )
    return on_the_line(over, CallState.LISTENING, now_s)


def _cited(turn: Mapping[str, Any]) -> tuple[str, ...]:
    passages = turn.get("passages")
    cited = [
        short(one, "heading")
        for one in (passages if isinstance(passages, list) else [])
        if isinstance(one, Mapping) and one.get("cited") is True
    ]
    return tuple(filter(None, cited))[:MOST_FOUND]


def _yield(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    return on_the_line(call, CallState.LISTENING, now_s)


def _carry_on(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    return on_the_line(dataclasses.replace(call, hearing=""), CallState.SPEAKING, now_s)


def _transfer(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    to = short(event, "to")
    noted = with_line(dataclasses.replace(call, to=to), Line("note", f"→ {to}", clock_ms(event)))
    return to_state(noted, CallState.TRANSFERRING, now_s)


def _transfer_failed(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    cause = short(event, "cause")
    noted = with_line(dataclasses.replace(call, to=""), Line("note", f"✕ {cause}", clock_ms(event)))
    return to_state(noted, CallState.SPEAKING, now_s)


def _hold(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    return dataclasses.replace(call, held=event.get("on") is True, state_at=now_s)


def _whisper(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    text = words(event, "text")
    return with_line(call, Line("supervisor", text, clock_ms(event))) if text else call


def _key(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    digit = words(event, "digit", 1)
    return with_line(call, Line("note", f"⌨ {digit}", clock_ms(event))) if digit else call


def _answered_by(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    who = short(event, "who")
    known = dataclasses.replace(call, answered_by=who)
    return (
        on_the_line(known, CallState.LISTENING, now_s) if call.state is CallState.RINGING else known
    )


def _end(call: LiveCall, event: Mapping[str, Any], now_s: float) -> LiveCall:
    part = integer(event, "part")
    if part is not None and part < call.part:
        return call  # a part that a later one has taken the place of
    cause = short(event, "cause")
    if cause in PERSON_HAS_IT:
        kept = dataclasses.replace(call, hearing="", worker="")
        return to_state(kept, CallState.PERSON, now_s)
    return gone(call, now_s, cause, short(event, "by"))


WORK = {
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
