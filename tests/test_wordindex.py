"""BM25 over arrays: what it finds, and the same again out of its own arrays."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.knowledge.wordindex import WordIndex, idf
from appliance.knowledge.words import content_words

PASSAGES = (
    ("Late fee", "The router is here. The fee is ten."),
    ("Router", "The router is white."),
    ("Wifi", "The router has wifi and no fee."),
)


@pytest.fixture
def index() -> WordIndex:
    return WordIndex.of((content_words(heading), content_words(text)) for heading, text in PASSAGES)


def numbers(index: WordIndex, question: str, limit: int = 5) -> list[int]:
    return [number for number, _ in index.search(content_words(question), limit)]


def test_rare_words_and_headings_go_first(index: WordIndex) -> None:
    assert numbers(index, "what is the late fee") == [0, 2]
    assert numbers(index, "router", 1) == [1]
    assert numbers(index, "what is the") == numbers(index, "zebra") == []


def test_only_what_is_allowed_is_found(index: WordIndex) -> None:
    allowed = np.array([False, True, True])
    found = index.search(content_words("the late fee"), 5, allowed)
    assert [number for number, _ in found] == [2]


def test_a_word_tells_more_the_fewer_hold_it(index: WordIndex) -> None:
    (router,), (late,) = content_words("router"), content_words("late")
    assert (index.held_by(router), index.held_by(late), index.held_by("zebra")) == (3, 1, 0)
    assert index.idf(router) < index.idf(late) < index.idf("zebra") == idf(0, 3)


def test_its_arrays_are_all_of_it(index: WordIndex) -> None:
    again = WordIndex.from_arrays(index.arrays())
    question = content_words("which router has wifi")
    assert again.search(question, 5) == index.search(question, 5) != []
    assert again.mean_words == index.mean_words > 0
