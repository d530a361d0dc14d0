"""The line that a person hears before they get the caller."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.call.history import History
from appliance.call.summary import LONGEST_LETTERS, one_line, plain_summary, summary_prompt
from appliance.events import Agent

AGENT = Agent("a", 1, "Asha")


def talk(*turns: tuple[str, str]) -> History:
    history = History()
    for said, heard in turns:
        history.add(said, heard)
    return history


def test_it_says_who_hands_over_what_was_asked_last_and_what_was_told() -> None:
    history = talk(("", "Welcome."), ("hello", "Hi."), ("what does roaming cost", "I do not know."))
    assert plain_summary(AGENT, history) == (
        "From Asha: the caller asked: what does roaming cost, and was told: I do not know."
    )
    assert plain_summary(AGENT, talk(("refund", ""))) == "From Asha: the caller asked: refund"


def test_a_caller_who_said_nothing_yet() -> None:
    assert "wants a person" in plain_summary(AGENT, talk(("", "Welcome.")))


def test_what_is_known_of_the_caller_is_said_first() -> None:
    history = talk(("hello", "Hi."), ("refund", "Which bill?"))
    history.learn({"name": "Ravi", "order_number": "4711"})
    assert plain_summary(AGENT, history) == (
        "From Asha: the caller (name Ravi, order number 4711) asked: refund, and was told: Which bill?"
    )
    hindi = Agent("a", 1, "आशा", language="hi")
    assert plain_summary(hindi, history).startswith("आशा (name Ravi, order number 4711): refund")


def test_the_model_is_told_what_is_remembered_of_the_turns_before() -> None:
    history = History("The caller says the router is broken.")
    history.add("refund", "Which bill?")
    _, user = summary_prompt(AGENT, history)
    assert user.content.startswith("Before: The caller says the router is broken.\nCaller: refund")


def test_in_another_language_there_are_no_english_words() -> None:
    agent = Agent("a", 1, "आशा", language="hi")
    history = talk(("बिल कितना है", "पाँच सौ रुपये।"))
    assert plain_summary(agent, history) == "आशा: बिल कितना है – पाँच सौ रुपये।"
    assert plain_summary(agent, History()) == "आशा:"


@given(st.text(max_size=500), st.integers(20, 200))
def test_one_line_is_one_line_and_no_longer_than_told(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert len(line) <= longest and line.isprintable()
    assert line == " ".join(line.split())


def test_it_is_cut_between_words() -> None:
    assert one_line("one two three", 9) == "one two…"
    long = talk(("why " * 100, "because " * 100))
    assert len(plain_summary(AGENT, long)) <= LONGEST_LETTERS


@pytest.mark.parametrize("language", ["en", "ta"])
def test_the_model_is_asked_in_the_agents_language(language: str) -> None:
    agent = Agent("a", 1, "Asha", language=language)
    system, user = summary_prompt(agent, talk(("refund", "Which bill?")))
    assert f"language {language}" in system.content
    assert user.content == "Caller: refund\nAgent: Which bill?"
