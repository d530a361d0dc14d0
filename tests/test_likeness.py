"""Whether two answers say the same: measured cosines of real pairs, and the rules beside them."""

from __future__ import annotations

import pytest
from answer_pairs import CHANGED, SAME

from appliance.events import Passage, ReplySource
from appliance.review.likeness import Said, folded, has_changed, holds, numbers_differ

# all-MiniLM-L6-v2 on the pairs, in order
SAME_COSINES = (0.94, 0.57, 0.69, 0.66, 0.90, 0.72, 0.86, 0.78)
CHANGED_COSINES = (0.98, 0.06, 0.38, 0.97, 0.54, -0.01, 1.0, 0.66)


def said(text: str, source: ReplySource = "llm", *passages: Passage) -> Said:
    return Said(text, source, passages)


def language_of(text: str) -> str:
    return "hi" if "\u0900" <= text[0] <= "\u097f" else "en"


@pytest.mark.parametrize(("pair", "cosine"), [*zip(SAME, SAME_COSINES, strict=True)])
def test_other_words_for_the_same_are_no_change(pair: tuple[str, str], cosine: float) -> None:
    language = language_of(pair[0])
    assert not has_changed(said(pair[0]), said(pair[1]), cosine, language)
    assert not has_changed(said(pair[1]), said(pair[0]), cosine, language)


@pytest.mark.parametrize(("pair", "cosine"), [*zip(CHANGED, CHANGED_COSINES, strict=True)])
def test_another_fact_or_another_matter_is_a_change(pair: tuple[str, str], cosine: float) -> None:
    language = language_of(pair[0])
    assert has_changed(said(pair[0]), said(pair[1]), cosine, language)
    assert has_changed(said(pair[1]), said(pair[0]), cosine, language)


def test_a_sentence_out_of_the_knowledge_is_the_same_word_for_word_or_has_changed() -> None:
    one, other = "We open at nine.", "We open at nine every day."
    assert has_changed(said(one, "extractive"), said(other, "extractive"), 0.99, "en")
    assert not has_changed(said(one, "extractive"), said("we open at 9", "extractive"), 0.9, "en")


def test_an_answer_that_rests_on_other_passages_has_changed() -> None:
    fee = Passage("1", "faq.md", "Fee", "x", 0.8, cited=True)
    again = Passage("9", "faq.md", "Fee", "x", 0.8, cited=True)  # read again: another id
    other = Passage("2", "tariff.pdf", "Charges", "x", 0.8, 4, cited=True)
    unused = Passage("2", "tariff.pdf", "Charges", "x", 0.8, 4)
    a, b = "It costs what the list says.", "The price is that of the list."
    assert not has_changed(said(a, "llm", fee), said(b, "llm", again, unused), 0.8, "en")
    assert has_changed(said(a, "llm", fee), said(b, "llm", other), 0.8, "en")
    assert not has_changed(said(a, "llm", fee), said(b, "llm"), 0.8, "en")


def test_numbers_are_the_same_written_or_spoken() -> None:
    assert not numbers_differ("It is Rs. 1,200.", "It is one thousand two hundred rupees.", "en")
    assert not numbers_differ("Call 1800 425 4255.", "Call 18004254255, one of us answers.", "en")
    assert not numbers_differ("It is 100 rupees.", "It is 100 rupees, or 250 in Goa.", "en")
    assert numbers_differ("It is 100 rupees.", "It is 110 rupees.", "en")
    assert numbers_differ("Until six in the evening.", "Until 5 p.m.", "en")
    assert folded("ninety rupees, Rs. 1,200", "en") == ("90", "rupees", "rs", "1200")


def test_what_is_expected_has_alternatives_and_no_order() -> None:
    assert holds("The late fee is ninety rupees.", "fee 90", "en")
    assert holds("नब्बे रुपये", "100 | 90 रुपये", "hi")
    assert not holds("The late fee is eighty rupees.", "90|ninety", "en")
    assert not holds("", "90", "en")
