"""Played ms -> words: never more than was played, never fewer as more is played."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.turn.heard import Spoken, heard

TWO = (Spoken("We are open", 0, 900), Spoken("from nine to six.", 900, 2100))


@st.composite
def replies(draw: st.DrawFn) -> list[Spoken]:
    texts = draw(st.lists(st.text("abc .,?é", min_size=1).filter(str.strip), max_size=5))
    phrases, at = [], 0
    for text in texts:
        length = draw(st.integers(0, 2000))
        phrases.append(Spoken(" ".join(text.split()), at, at + length))
        at += length
    return phrases


def test_whole_part_and_nothing() -> None:
    assert heard(TWO, 0) == ""
    assert heard(TWO, 900) == "We are open"
    assert heard(TWO, 2100) == heard(TWO, 9999) == "We are open from nine to six."


def test_a_phrase_is_cut_between_words_in_proportion_to_letters() -> None:
    # "from nine to six." has 14 letters in 1 200 ms: "from" has been said after 343 ms
    assert heard(TWO, 900 + 340) == "We are open"
    assert heard(TWO, 900 + 350) == "We are open from"
    assert heard(TWO, 900 + 700) == "We are open from nine"


def test_a_phrase_that_was_never_made_into_sound_was_not_heard() -> None:
    silent = (Spoken("We are", 0, 500), Spoken("lost words", 500, 500), Spoken("open.", 500, 900))
    assert heard(silent, 1000) == "We are open."
    assert heard([Spoken("nobody spoke this", 0, 0)], 0) == ""


@given(replies(), st.integers(0, 9000), st.integers(0, 9000))
def test_more_played_is_more_heard(phrases: list[Spoken], a: int, b: int) -> None:
    less, more = (heard(phrases, ms).split() for ms in sorted((a, b)))
    assert more[: len(less)] == less


@given(replies(), st.integers(0, 9000))
def test_what_was_heard_begins_the_reply(phrases: list[Spoken], played_ms: int) -> None:
    said = " ".join(p.text for p in phrases if p.end_ms > p.start_ms).split()
    words = heard(phrases, played_ms).split()
    assert said[: len(words)] == words
