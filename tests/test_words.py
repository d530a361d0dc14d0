"""What words mean for turn taking."""

from __future__ import annotations

import pytest

from appliance.events import Agent
from appliance.turn.words import (
    dangles,
    holds,
    is_backchannel,
    is_farewell,
    normal,
    same_meaning,
    silence_to_wait,
)

BACKCHANNELS = Agent("a", 1, "A").backchannels
FAREWELLS = Agent("a", 1, "A").farewells


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("what are your hours", "Um, what are your hours?"),
        ("please tell me the price", "tell me the price"),
        ("I don't know", "i DON'T know."),
        ("मेरा बिल कितना है", "मेरा बिल कितना है?"),
    ],
)
def test_fillers_and_punctuation_change_nothing(a: str, b: str) -> None:
    assert same_meaning(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("what are your hours", "what are your hours on sunday"),
        ("can you", "can't you"),
        ("बिल", "बल"),  # differ by a vowel sign alone
        ("की", "का"),
        ("போ", "பா"),
        ("no", ""),
    ],
)
def test_other_words_are_another_question(a: str, b: str) -> None:
    assert not same_meaning(a, b)


def test_words_of_indian_scripts_stay_whole() -> None:
    assert normal("हाँ, हिन्दी! நான் తెలుగు") == ("हाँ", "हिन्दी", "நான்", "తెలుగు")
    assert normal("अच्छा बिल") == ("बिल",)  # the filler is known as a whole word


@pytest.mark.parametrize("text", ["", "mm-hm", "Mm, yeah.", "okay right", "uh-huh", "uh um"])
def test_backchannels(text: str) -> None:
    assert is_backchannel(text, BACKCHANNELS)


@pytest.mark.parametrize("text", ["no", "yes but why", "stop", "right now what", "mmm what"])
def test_no_backchannels(text: str) -> None:
    assert not is_backchannel(text, BACKCHANNELS)


@pytest.mark.parametrize("text", ["bye", "Okay, goodbye!", "no that is all thank you", "bye bye"])
def test_farewells(text: str) -> None:
    assert is_farewell(text, FAREWELLS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "is there a byelaw",
        "that is not all",
        "can I say goodbye to my old plan and keep my number",
        "buy",
    ],
)
def test_no_farewells(text: str) -> None:
    assert not is_farewell(text, FAREWELLS)


def test_an_empty_farewell_ends_no_call() -> None:
    assert not is_farewell("hello", ("", "..."))


@pytest.mark.parametrize(
    "text", ["how much does the", "I want to know if", "the price of my", "UM I need a"]
)
def test_words_that_break_off(text: str) -> None:
    assert dangles(text, "en") is True


@pytest.mark.parametrize(
    "text",
    [
        "how much does the plan cost",
        "what",
        "how are you today",
        "which plans do you have",
        "what is it for",
    ],
)
def test_words_that_are_whole(text: str) -> None:
    assert dangles(text, "en-IN") is False


@pytest.mark.parametrize(("text", "language"), [("", "en"), ("...", "en"), ("von der", "de")])
def test_what_is_not_known_is_not_guessed(text: str, language: str) -> None:
    assert dangles(text, language) is None


def test_hindi_words_break_off() -> None:
    assert dangles("मेरा बिल और", "hi") is True
    assert dangles("मेरा बिल कितना है", "hi") is False


def test_sound_and_words_that_agree_decide() -> None:
    assert silence_to_wait(0.9, False, 240, 1400) == 240
    assert silence_to_wait(0.9, None, 240, 1400) == 240
    assert silence_to_wait(0.1, True, 240, 1400) == 1400
    assert silence_to_wait(0.1, None, 240, 1400) == 1400
    assert silence_to_wait(0.9, True, 240, 1400) == silence_to_wait(0.1, False, 240, 1400) == 700
    assert silence_to_wait(0.1, False, 900, 1400) == 900  # never shorter than a complete turn's


def test_a_phrase_is_held_as_whole_words_in_a_row() -> None:
    assert holds("Well, I do not have that information, sorry.", "I do not have that information.")
    assert not holds("information that I do not have", "not have that information")
    assert not holds("the bill", "ill") and not holds("anything", "")
