"""The floor's table: complete where it must be, never stuck, nothing heard without a grant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.turn import floor
from appliance.turn.floor import TABLE, Action, Event, State, step

DOCS = Path(__file__).parent.parent / "docs" / "floor.md"
AUDIBLE = frozenset({State.SPEAKING, State.PROTECTED, State.CONTESTED, State.CLOSING})
TIMELESS = frozenset({State.ANSWERING, State.MACHINE, State.CONNECTING})
"""States with an end of their own, which comes soon: the longest call waits for it."""
UNHEARD = frozenset({State.CALLER, State.PAUSED, State.LISTENING})
SAYS = frozenset(
    {
        Action.GREET, Action.NOTIFY, Action.RESUME, Action.GRANT, Action.PROMPT, Action.ANSWER_KEY,
        Action.TRANSFER, Action.KEEP_WAITING, Action.RETURN, Action.LEAVE_MESSAGE, Action.GOODBYE,
    }
)  # fmt: skip


@st.composite
def walks(draw: st.DrawFn) -> list[tuple[State, Event, State, tuple[Action, ...]]]:
    """A legal life of a call, a choice of events from ringing on."""
    state, path = State.RINGING, []
    for _ in range(draw(st.integers(1, 40))):
        event = draw(st.sampled_from(sorted(TABLE[state], key=lambda e: e.name)))
        after, actions = step(state, event)
        path.append((state, event, after, actions))
        state = after
    return path


def reachable(start: State) -> set[State]:
    found, todo = {start}, [start]
    while todo:
        for after, _ in TABLE[todo.pop()].values():
            if after not in found:
                found.add(after)
                todo.append(after)
    return found


@pytest.mark.parametrize("state", State)
def test_every_state_is_reached_and_can_end(state: State) -> None:
    assert state in reachable(State.RINGING)
    assert State.ENDED in reachable(state)
    assert step(state, Event.HANGUP)[0] is State.ENDED


@pytest.mark.parametrize("state", [s for s in State if s is not State.ENDED])
def test_a_hangup_cleans_up_from_everywhere(state: State) -> None:
    assert step(state, Event.HANGUP)[1] == (Action.CLEAN_UP,)


@pytest.mark.parametrize(
    "state", [s for s in State if s not in {State.RINGING, State.ENDED} | TIMELESS]
)
def test_the_longest_call_ends_in_every_state_by_a_goodbye(state: State) -> None:
    after, actions = step(state, Event.TIME_UP)
    assert after is State.CLOSING
    assert state is State.CLOSING or actions[-1] is Action.GOODBYE


def test_a_pair_outside_the_table_raises_and_names_both() -> None:
    legal = {(s, e) for s, row in TABLE.items() for e in row}
    for state in State:
        for event in Event:
            if (state, event) not in legal:
                with pytest.raises(ValueError, match=f"{event.name} .* {state.name}"):
                    step(state, event)


def test_ended_is_the_end() -> None:
    assert {after for after, _ in TABLE[State.ENDED].values()} == {State.ENDED}
    assert not any(actions for _, actions in TABLE[State.ENDED].values())


@given(walks())
def test_nothing_is_audible_that_was_not_said_or_granted(
    path: list[tuple[State, Event, State, tuple[Action, ...]]],
) -> None:
    allowed = False
    for before, event, after, actions in path:
        if event in (Event.AUDIBLE, Event.AUDIBLE_PROTECTED):
            assert allowed, f"audible in {before} without a grant"
        if event is Event.PLAYED:
            allowed = False
        if set(actions) & SAYS:
            allowed = True
        elif set(actions) & {Action.DROP, Action.TAKE_BACK, Action.BARGE_IN, Action.CLEAN_UP}:
            allowed = False
        if after in AUDIBLE and after is not State.CLOSING:
            assert allowed


@given(walks())
def test_speculation_only_while_the_agent_is_silent(
    path: list[tuple[State, Event, State, tuple[Action, ...]]],
) -> None:
    for _, _, after, actions in path:
        if Action.SPECULATE in actions:
            assert after in UNHEARD  # a speculation over one's own voice would have no audience
        if Action.BARGE_IN in actions:
            assert after not in AUDIBLE - {State.CLOSING}


@given(walks())
def test_a_yield_is_always_settled(
    path: list[tuple[State, Event, State, tuple[Action, ...]]],
) -> None:
    """What was stopped is either carried on or cut; a held reply cannot be forgotten."""
    held = False
    for before, _, after, actions in path:
        if held and after is not State.CONTESTED:
            assert set(actions) & {Action.CARRY_ON, Action.BARGE_IN, Action.CLEAN_UP}, before
        held = after is State.CONTESTED


def test_a_protected_reply_cannot_be_interrupted_by_voice() -> None:
    by_voice = {Event.SPEECH, Event.WORDS, Event.PAUSE, Event.RESUME, Event.TURN, Event.FAREWELL}
    by_voice.add(Event.ASKED)
    for state in (State.PROTECTED, State.CLOSING, State.CONNECTING, *TIMELESS):
        assert not by_voice & TABLE[state].keys()


def test_the_goodbye_ends_only_when_played_or_hung_up() -> None:
    leaving = {e for e, (after, _) in TABLE[State.CLOSING].items() if after is State.ENDED}
    assert leaving == {Event.PLAYED, Event.HANGUP}
    hangs_up = [(s, e) for s, row in TABLE.items() for e in row if Action.HANG_UP in row[e][1]]
    assert hangs_up == [(State.ANSWERING, Event.NO_MESSAGE), (State.CLOSING, Event.PLAYED)]


def test_a_caller_on_the_way_to_a_person_is_there_until_the_edge_says_otherwise() -> None:
    leaving = {e for e, (after, _) in TABLE[State.CONNECTING].items() if after != State.CONNECTING}
    assert leaving == {Event.TRANSFER_FAILED, Event.HANGUP}
    assert step(State.CONNECTING, Event.TRANSFER_FAILED) == (State.REPLYING, (Action.RETURN,))


def test_a_call_that_we_made_is_silent_until_it_is_known_who_answered() -> None:
    for state in (State.ANSWERING, State.MACHINE):
        assert not {Event.AUDIBLE, Event.AUDIBLE_PROTECTED, Event.SILENCE} & TABLE[state].keys()


def test_a_transfer_comes_only_from_where_the_agent_has_nothing_left_to_say() -> None:
    for state, row in TABLE.items():
        for event, (after, actions) in row.items():
            if Action.TRANSFER not in actions:
                continue
            assert after is State.CONNECTING
            stops = {Action.DROP, Action.BARGE_IN} & set(actions)
            assert stops or state is State.LISTENING, (state, event)


def test_the_documented_diagram_is_the_table() -> None:
    text = DOCS.read_text()
    drawn = text.split("<!-- diagram -->")[1].strip().removeprefix("```mermaid").removesuffix("```")
    assert drawn.strip() == floor.diagram(), "run: make diagram"


@pytest.mark.parametrize("word", [*State, *Event, *Action])
def test_every_word_of_the_table_is_explained(word: State | Event | Action) -> None:
    assert f"| {word.value} |" in DOCS.read_text()
