"""The conversation as the model reads it: eight turns, of what was heard."""

from __future__ import annotations

import dataclasses

from appliance.call.history import WINDOW_TURNS, History
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
        ("assistant", "Welcome."),
        ("user", "first"),
        ("assistant", "We are open"),
        ("user", "second"),
        ("user", "now"),
    ]


def test_the_last_eight_turns_remain_in_order() -> None:
    history = History()
    for n in range(20):
        history.add(f"q{n}", f"a{n}")
    users = [content for role, content in contents(history) if role == "user"]
    assert users == [*(f"q{n}" for n in range(20 - WINDOW_TURNS, 20)), "now"]


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
    assert messages[:3] == before[:3] and messages[-1] == before[-1]
    note = messages[-2]
    assert note.role == "system" and "note 5" in note.content and "note 1" not in note.content


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
