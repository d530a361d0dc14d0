"""A live call's state, event by event, and in any order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.admin.live import events
from appliance.admin.live.events import MOST_GAPS, apply, with_past
from appliance.admin.live.fields import LONGEST_TEXT_LETTERS
from appliance.admin.live.state import (
    MOST_LINES,
    OF_SWITCH,
    CallState,
    Line,
    LiveCall,
    gone,
    lost,
    of_switch,
)
from appliance.events import Passage, Stages, Turn

BEGIN: dict[str, Any] = {
    "event": "call", "ms": 0, "did": "1001", "caller": "+91", "agent": "Asha", "agent_id": "a",
    "version": 3, "language": "en", "direction": "in", "part": 1, "turns": 0,
    "started_at": "2026-11-21T10:00:00+00:00",
}  # fmt: skip


def told(*events: dict[str, Any], call: LiveCall | None = None) -> LiveCall:
    call = call or LiveCall("c1")
    for number, event in enumerate(events):
        call = apply(call, event, 100.0 + number)
    return call


def turn(index: int, said: str, heard: str, **more: Any) -> dict[str, Any]:
    stages = {"speech_start": 1000, "first_frame": 2000}
    row = {"index": index, "said": said, "heard": heard, "stages": stages, "source": "llm"}
    return {"event": "turn_over", "ms": 3000, "turn": row | {"gap_ms": 440} | more}


def test_a_whole_turn() -> None:
    call = told(BEGIN)
    assert call.state is CallState.RINGING and call.agent_version == 3
    call = told({"event": "partial", "ms": 900, "text": "what are"}, call=call)
    assert call.state is CallState.LISTENING and call.last("caller") == "what are"
    call = told({"event": "turn", "ms": 1900, "said": "what are your hours"}, call=call)
    assert call.state is CallState.THINKING and call.hearing == ""
    found = [{"heading": "Hours", "score": 0.9}]
    call = told(
        {"event": "phrase", "ms": 2000, "text": "We are"},
        {"event": "audible", "ms": 2000, "gap_ms": 440, "source": "llm", "found": found},
        {"event": "phrase", "ms": 2500, "text": "open."},
        call=call,
    )
    assert call.state is CallState.SPEAKING and call.gaps_ms == (440,)
    assert call.last("agent") == "We are open."
    call = told(turn(1, "what are your hours", "We are open."), call=call)
    assert call.state is CallState.LISTENING and call.turns == 1
    assert call.lines == (
        Line("caller", "what are your hours", 1000, 1),
        Line("agent", "We are open.", 2000, 1, 440, "llm", False, ("Hours",)),
    )


def test_what_was_cut_off_is_shown_as_it_was_heard() -> None:
    call = told(
        BEGIN,
        {"event": "turn", "ms": 1, "said": "hours"},
        {"event": "phrase", "ms": 2, "text": "We are open every day"},
        {"event": "yield", "ms": 3},
    )
    assert call.state is CallState.LISTENING
    call = told({"event": "partial", "ms": 4, "text": "no wait"}, call=call)
    call = told(turn(1, "hours", "We are", barged_in=True), call=call)
    assert call.lines[-1].text == "We are" and call.lines[-1].cut
    assert call.hearing == "no wait"  # it goes on into the next turn
    assert told({"event": "carry_on", "ms": 5}, call=call).state is CallState.SPEAKING


def test_to_a_person_and_back() -> None:
    call = told(BEGIN, {"event": "transfer", "ms": 5, "to": "queue:support", "mode": "attended"})
    after = told({"event": "phrase", "ms": 6, "text": "I connect you."}, call=call)
    assert after.state is CallState.TRANSFERRING and after.to == "queue:support"
    back = told({"event": "transfer_failed", "ms": 9, "cause": "NO_ANSWER"}, call=after)
    assert back.state is CallState.SPEAKING and not back.to
    person = told({"event": "end", "cause": "ATTENDED_TRANSFER", "by": "agent"}, call=after)
    assert person.state is CallState.PERSON and not person.is_over and not person.worker


def test_hold_hides_what_the_agent_does_and_ends() -> None:
    call = told(BEGIN, {"event": "partial", "text": "x"}, {"event": "hold", "on": True})
    assert call.shown_state is CallState.HOLD
    assert told({"event": "hold", "on": False}, call=call).shown_state is CallState.LISTENING


def test_the_end_of_an_earlier_part_is_not_the_calls() -> None:
    call = told(BEGIN | {"part": 2}, {"event": "end", "cause": "X", "by": "system", "part": 1})
    assert not call.is_over
    over = told({"event": "end", "cause": "NORMAL_CLEARING", "by": "caller", "part": 2}, call=call)
    assert over.is_over and (over.cause, over.ended_by) == ("NORMAL_CLEARING", "caller")
    assert told({"event": "partial", "text": "late"}, call=over) == over


@pytest.mark.parametrize(
    ("floor", "shown"),
    [
        ("ringing", CallState.RINGING),
        ("paused", CallState.LISTENING),
        ("replying", CallState.THINKING),
        ("protected", CallState.SPEAKING),
        ("connecting", CallState.TRANSFERRING),
        ("bot", CallState.BOT),
        ("something new", CallState.RINGING),
    ],
)
def test_a_call_met_in_the_middle_is_in_the_state_its_worker_says(
    floor: str, shown: CallState
) -> None:
    assert told(BEGIN | {"state": floor}).shown_state is shown


def test_every_state_of_the_floor_has_a_meaning_for_people() -> None:
    from appliance.turn.floor import State

    assert {s.value for s in State} <= events.OF_FLOOR.keys()


def test_every_state_of_the_telephone_side_is_known() -> None:
    from appliance.telephony.facts import State

    theirs = {s.value for s in State} - {"talking", "failed", "ended"}
    assert theirs == OF_SWITCH.keys()


def test_what_ivr_switch_knows_better() -> None:
    call = told(BEGIN, {"event": "partial", "text": "x"})
    facts = {"state": "talking", "trunk": "jio", "did": "9", "started_at": "2026-11-21T09:00:00"}
    call = of_switch(call, facts, 5.0)
    assert (call.trunk, call.did, call.shown_state) == ("jio", "1001", CallState.LISTENING)
    assert of_switch(call, {"state": "person"}, 6.0).shown_state is CallState.PERSON
    waiting = of_switch(LiveCall("c2"), {"state": "waiting", "did": "1002"}, 7.0)
    assert waiting.shown_state is CallState.WAITING and waiting.did == "1002"


def test_a_worker_that_has_gone_takes_no_person_away() -> None:
    call = told(BEGIN)
    assert lost(call, 1.0).state is CallState.LOST
    person = told({"event": "end", "cause": "BLIND_TRANSFER"}, call=call)
    assert lost(person, 1.0).state is CallState.PERSON
    assert told({"event": "partial", "text": "x"}, call=lost(call, 1)).state is CallState.LISTENING


def test_the_past_comes_before_what_was_seen_and_nothing_twice() -> None:
    call = told(BEGIN, turn(3, "three", "third"))
    passage = Passage("p", "d", "Hours", "text", 0.9, cited=True)
    past = [
        Turn("c1", i, datetime.now(UTC), f"said {i}", "r", f"heard {i}", "llm",
             Stages(speech_start=i * 1000), 500 + i, passages=(passage,))
        for i in (1, 2, 3)
    ]  # fmt: skip
    call = with_past(call, past)
    assert [line.turn for line in call.lines] == [1, 1, 2, 2, 3, 3]
    assert call.lines[1].found == ("Hours",) and call.lines[-1].text == "third"
    assert call.gaps_ms == (501, 502) and call.turns == 3


def test_a_transcript_is_bounded() -> None:
    call = told(BEGIN)
    for number in range(300):
        call = told({"event": "whisper", "text": "x" * 10_000, "ms": number}, call=call)
    assert len(call.lines) == MOST_LINES
    assert len(call.lines[0].text) == LONGEST_TEXT_LETTERS


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_FIELDS = (
    "text", "said", "turn", "turns", "gap_ms", "found", "source", "on", "to", "cause", "by", "part",
    "state", "held", "did", "caller", "agent", "agent_id", "version", "started_at", "digit", "who",
    "ms", "language", "direction",
)  # fmt: skip
_EVENTS = st.builds(
    lambda kind, fields: {"event": kind, **fields},
    st.sampled_from(["call", *events.WORK, "remembered", "flag", "new"]) | _ANY,
    st.dictionaries(st.sampled_from(_FIELDS), _ANY, max_size=8),
)
_GOOD = st.sampled_from(
    [
        BEGIN,
        BEGIN | {"part": 2, "state": "speaking"},
        {"event": "partial", "text": "a"},
        {"event": "turn", "said": "b"},
        {"event": "phrase", "text": "c"},
        {"event": "audible", "gap_ms": 5, "found": [{"heading": "h"}]},
        turn(1, "b", "c"),
        turn(2, "", "d"),
        {"event": "transfer", "to": "q"},
        {"event": "transfer_failed", "cause": "x"},
        {"event": "end", "cause": "ATTENDED_TRANSFER"},
        {"event": "end", "cause": "NORMAL_CLEARING"},
    ]
)


@given(st.lists(_EVENTS | _GOOD, max_size=30))
def test_no_order_of_events_breaks_a_call(events: list[dict[str, Any]]) -> None:
    call = LiveCall("c1")
    for number, event in enumerate(events):
        call = apply(call, event, float(number))
        assert isinstance(call.shown_state, CallState)
        assert len(call.lines) <= MOST_LINES and len(call.gaps_ms) <= MOST_GAPS
        turns = [line.turn for line in call.lines if line.turn and line.who == "agent"]
        assert len(turns) == len(set(turns))
    assert gone(call, 99.0).is_over
    assert apply(gone(call, 99.0), BEGIN, 100.0).is_over is False  # it came back, as its next part


@given(st.dictionaries(st.sampled_from(["state", "did", "caller", "trunk", "agent"]), _ANY))
def test_nor_does_what_ivr_switch_may_say(facts: dict[str, Any]) -> None:
    assert isinstance(of_switch(told(BEGIN), facts, 1.0).shown_state, CallState)
