"""Text as it comes -> phrases: nothing lost, nothing split that belongs together, a quick start."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.speech.phrases import (
    FIRST_HARD_WORDS,
    LATER_HARD_WORDS,
    LONGEST_LETTERS,
    Phrases,
)


def cut(*chunks: str) -> list[str]:
    phrases = Phrases()
    return [p for chunk in chunks for p in phrases.feed(chunk)] + phrases.flush()


def tokens(text: str) -> list[str]:
    """As a language model writes: a word with the space before it."""
    return re.findall(r"\s*\S+", text)


@pytest.mark.parametrize(
    "whole",
    [
        "3.50", "1,20,000", "9:30", "e.g. fibre", "Dr. Rao", "Rs. 500", "approx. nine", "A. B. Rao",
        "1800 425 4255", "5 January", "No. 12", "2.4 GHz", "10 a.m. daily", "Rs. 1,250.50",
        "10.30 a.m.", "12 Nov 2026", "12 नवंबर 2026", "रु. 500", "डॉ. राव", "₹499 per month",
        "OTP is 4821", "OTP: 4821", "account number is 123456", "10:30 बजे", "ரூ. 500",
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", ["It is", "You would pay us", "Of course you can ask them"])
def test_what_belongs_together_is_not_split(before: str, whole: str) -> None:
    text = f"{before} {whole} and that is what we always tell people who call."
    for chunks in ([text], tokens(text), list(text)):
        assert any(whole in phrase for phrase in cut(*chunks)), cut(*chunks)


def test_the_first_phrase_is_short_and_later_ones_longer() -> None:
    text = (
        "We are open every day of the week between nine in the morning and six at night. "
        "On holidays the office is closed, but the helpline answers all day long as usual."
    )
    first, *others = cut(*tokens(text))
    assert len(first.split()) <= FIRST_HARD_WORDS
    assert all(len(p.split()) <= LATER_HARD_WORDS for p in others)
    assert max(len(p.split()) for p in others) > FIRST_HARD_WORDS


def test_the_first_phrase_is_ready_before_the_sentence() -> None:
    phrases = Phrases()
    assert phrases.feed("Yes,") == ["Yes,"]
    waiting = Phrases()
    assert waiting.feed("We are open every day of the") != []


def test_only_a_code_that_may_follow_is_waited_for() -> None:
    """The first phrase stays short where no number can be meant."""
    assert Phrases().feed("Your account has been closed ") == ["Your account has been"]
    assert Phrases().feed("Your account number is 1234 and ") == ["Your account number is 1234 and"]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("A restart costs ninety rupees. Good bye.", "costs ninety rupees."),
        ("It costs ninety for all of you.", "It costs ninety for"),
        ("It is ninety, sir, and so on.", "ninety, sir,"),
        ("It is ₹499, sir, and so on.", "₹499, sir,"),
        ("It costs four hundred and ninety nine rupees a month.", "hundred and ninety nine rupees"),
        ("It is two point five percent of that.", "two point five percent"),
        ("आपका बिल चार सौ निन्यानवे रुपये है और कुछ नहीं", "चार सौ निन्यानवे रुपये"),
        ("உங்கள் பில் நானூற்று தொண்ணூற்று ஒன்பது ரூபாய் ஆகும்", "தொண்ணூற்று ஒன்பது ரூபாய்"),
    ],
)  # fmt: skip
def test_a_number_is_not_cut_off_from_what_it_counts(text: str, whole: str) -> None:
    """Else "A restart costs ninety" would be heard before anybody knew that it is an amount."""
    for chunks in ([text], tokens(text), list(text)):
        assert any(whole in phrase for phrase in cut(*chunks)), cut(*chunks)


def test_sentences_end_at_the_danda() -> None:
    assert cut(*tokens("आपका बिल तैयार है। कृपया भुगतान करें॥")) == ["आपका बिल तैयार है।", "कृपया भुगतान करें॥"]


def test_a_question_mark_is_not_waited_behind() -> None:
    assert Phrases().feed("Is that all?") == ["Is that all?"]


def test_a_comma_in_a_number_is_waited_behind() -> None:
    phrases = Phrases()
    assert phrases.feed("Pay 3,") == []
    assert phrases.feed("000 now.") == []
    assert phrases.flush() == ["Pay 3,000 now."]


def test_punctuation_alone_is_not_spoken() -> None:
    assert cut("... — !!! ", "\n* * *\n") == []
    assert cut("- Yes. ", "— No!") == ["- Yes.", "— No!"]


words = st.sampled_from(
    "we are open Rs. Dr. 3.50 1,000 yes, no. Please! why? — … है। (see below) e.g. 9:30 “Well,” "
    "a.m. and or 1. A. to".split()
)
texts = st.lists(words, max_size=60).map(" ".join)


def squeezed(text: str) -> str:
    """What is spoken of a text: all but spaces, closing quotes (which may come too late for their
    phrase) and what stands alone without a letter."""
    words = (w for w in text.split() if any(c.isalnum() for c in w))
    return re.sub(r"[\"'”’)\]]", "", "".join(words))


@given(texts, st.lists(st.integers(0, 400)))
def test_nothing_is_lost_or_added_however_the_text_comes(text: str, cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(c for c in cuts if c < len(text))})
    phrases = cut(*(text[a:b] for a, b in pairwise(edges)))
    assert squeezed(" ".join(phrases)) == squeezed(text)
    assert all(any(c.isalnum() for c in phrase) for phrase in phrases)


@given(texts)
def test_tokens_give_the_same_phrases_as_the_whole_text(text: str) -> None:
    assert cut(*tokens(text)) == cut(text)


@given(st.text())
def test_any_text_at_all(text: str) -> None:
    said = re.sub(r"\s", "", "".join(cut(*text)))
    assert [c for c in said if c.isalnum()] == [c for c in text if c.isalnum()]


@pytest.mark.parametrize(
    "text", ["A1-" * 700, "9" * 2000, "क्षि" * 500, "word" * 500, "न्त " * 4 + "a" * 1990]
)
def test_text_without_an_end_comes_in_phrases_of_some_length(text: str) -> None:
    for phrases in (cut(text), cut(*text), Phrases(hurry=False).feed(text)):
        assert all(len(phrase) <= LONGEST_LETTERS for phrase in phrases)
    assert "".join(cut(text)).replace(" ", "") == text.replace(" ", "")
    # no mark without its letter
    assert all(unicodedata.category(phrase[0])[0] not in "MC" for phrase in cut(text))
