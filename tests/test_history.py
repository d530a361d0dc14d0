"""The conversation as the model reads it: the last turns, of what was heard, laid out for reuse."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from appliance.call.history import (
    MOST_LETTERS,
    ON_THE_LINE,
    STEP_TURNS,
    WINDOW_TURNS,
    History,
)
from appliance.events import Agent, Message, Passage

AGENT = Agent("a", 1, "A", prompt="Be brief.")


def contents(history: History, said: str = "now") -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in history.messages(AGENT, (), said)]


def test_an_empty_conversation() -> None:
    assert History().messages(AGENT, (), "hello") == [
        Message("system", "Be brief."),
        Message("user", "hello"),
    ]


def test_only_what_was_heard_stands_there() -> None:
    history = History()
    history.add("", "Welcome.")
    history.add("first", "We are open")  # cut by a barge-in
    history.add("second", "")  # nothing of the reply was heard
    history.add("", "")
    assert contents(history)[1:] == [
        ("user", ON_THE_LINE),
        ("assistant", "Welcome."),
        ("user", "first"),
        ("assistant", "We are open"),
        ("user", "second\nnow"),
    ]


def test_the_last_turns_remain_in_order() -> None:
    history = History()
    for n in range(50):
        history.add(f"q{n}", f"a{n}")
        users = [content for role, content in contents(history) if role == "user"]
        kept = len(users) - 1
        assert users == [*(f"q{m}" for m in range(n + 1 - kept, n + 1)), "now"]
        assert min(n + 1, WINDOW_TURNS) <= kept < WINDOW_TURNS + STEP_TURNS


def test_between_two_steps_of_the_window_a_prompt_only_grows_at_its_end() -> None:
    history, broken = History(), []
    before = contents(history)
    for n in range(40):
        history.add(f"q{n}", f"a{n}")
        after = contents(history)
        if after[: len(before) - 1] != before[:-1]:
            broken.append(n)
        before = after
    assert broken == list(range(WINDOW_TURNS + STEP_TURNS - 1, 40, STEP_TURNS))


def test_long_turns_leave_room_for_the_rest_of_the_prompt() -> None:
    history = History()
    for n in range(30):
        history.add(f"q{n}", "x" * 700)
        kept = sum(len(content) for role, content in contents(history) if role != "system")
        assert kept <= MOST_LETTERS + 100
    history.add("last", "y" * 3 * MOST_LETTERS)
    assert ("user", "last") in contents(history)  # the latest stays, however long


TURN = st.tuples(st.sampled_from(["", "caller"]), st.sampled_from(["", "agent"]))


@given(st.lists(TURN, max_size=30), st.booleans())
def test_user_and_assistant_take_turns_whatever_was_not_said_or_heard(
    turns: list[tuple[str, str]], noted: bool
) -> None:
    history = History()
    for said, heard in turns:
        history.add(said, heard)
    if noted:
        history.note("be kind")
    roles = [role for role, _ in contents(history)]
    assert roles[0] == "system" and len(roles) % 2 == 0
    assert roles[1:] == [("user", "assistant")[n % 2] for n in range(len(roles) - 1)]


def test_what_changes_comes_last_so_that_prefixes_are_cached() -> None:
    history = History()
    history.add("q1", "a1")
    passages = (Passage("1", "d", "Hours", "Nine to six.", 0.9),)
    with_passages = history.messages(AGENT, passages, "when")
    without = history.messages(AGENT, (), "why")
    assert with_passages[:-1] == without[:-1]
    assert "Nine to six." in with_passages[-1].content
    assert with_passages[-1].content.endswith("The caller says: when")


def test_a_supervisors_notes_come_late_and_the_latest_remain() -> None:
    history = History()
    history.add("q1", "a1")
    before = history.messages(AGENT, (), "now")
    for n in range(6):
        history.note(f"note {n}")
    messages = history.messages(AGENT, (), "now")
    assert messages[:-1] == before[:-1]
    last = messages[-1].content
    assert "note 5" in last and "note 1" not in last and last.endswith("The caller says: now")


def test_an_agent_with_somebody_to_transfer_to_knows_the_marker() -> None:
    agent = dataclasses.replace(AGENT, transfer_to="1002")
    system = History().messages(agent, (), "x")[0].content
    assert system.startswith("Be brief.\n") and system.count("[transfer]") == 1
    own = dataclasses.replace(agent, prompt="Write [transfer] for refunds.")
    assert History().messages(own, (), "x")[0].content == own.prompt


def test_the_last_exchange_is_the_last_that_the_caller_began() -> None:
    history = History()
    assert history.last_exchange() == ("", "")
    history.add("q1", "a1")
    history.add("", "Are you there?")
    assert history.last_exchange() == ("q1", "a1")
