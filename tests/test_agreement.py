"""Words that are shown only when two hypotheses agree, and never taken back in mid-speech."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.models.agreement import Agreement, bare

WORDS = st.lists(st.sampled_from("what is the late fee नमस्ते Pune".split()), max_size=6)


def shown(*hypotheses: str) -> list[str]:
    agreement = Agreement()
    return [agreement.hear(hypothesis) for hypothesis in hypotheses]


@pytest.mark.parametrize(
    ("hypotheses", "after"),
    [
        (["what", "what is", "what is the late"], ["", "what", "what is"]),
        (["what if", "what is", "what is the"], ["", "what", "what is"]),
        (["What,", "what is", "What is?"], ["", "what", "what is?"]),
        (["मेरा बिल", "मेरा बिल कितना"], ["", "मेरा बिल"]),
        (["", "yes", "", "yes", "yes"], ["", "", "", "", "yes"]),
        # a word that comes or goes at the start does not stop what follows
        (["is the", "is the late", "what is the late", "what is the late fee now"],
         ["", "is the", "is the", "is the late"]),
        # nothing that was shown is found again: it stands until a pause
        (["is the", "is the", "who was", "who was here"], ["", "is the", "is the", "is the"]),
    ],
)  # fmt: skip
def test_a_word_is_shown_when_it_is_said_twice(hypotheses: list[str], after: list[str]) -> None:
    assert shown(*hypotheses) == after


def test_a_pause_shows_the_newest_hypothesis_at_once() -> None:
    agreement = Agreement()
    agreement.hear("what is a")
    assert agreement.settle("what is the late fee") == "what is the late fee"
    assert agreement.hear("what is the late fee and when") == "what is the late fee"
    assert agreement.hear("what is the late fee and when do") == "what is the late fee and when"
    assert agreement.settle("so what is it") == "so what is it"  # a pause may correct


@given(st.lists(WORDS, max_size=8))
def test_what_is_shown_only_grows_and_was_said_by_two(hypotheses: list[list[str]]) -> None:
    agreement = Agreement()
    before: list[str] = []
    previous: list[str] = []
    for words in hypotheses:
        now = agreement.hear(" ".join(words)).split()
        assert now[: len(before)] == before
        for word in now[len(before) :]:
            assert bare(word) in map(bare, words) and bare(word) in map(bare, previous)
        before, previous = now, words


@given(WORDS, st.integers(1, 6))
def test_growing_hypotheses_are_shown_one_behind(words: list[str], step: int) -> None:
    heard = [" ".join(words[:end]) for end in range(0, len(words) + step, step)]
    assert shown(*heard, heard[-1])[-1].split() == [*words]
