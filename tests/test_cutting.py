"""A read document → passages."""

from __future__ import annotations

from importlib.resources import files

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.knowledge.cutting import LONGEST_CHARS, LONGEST_WORDS, Draft, cut
from appliance.knowledge.reading import Block, Page, ReadDocument
from appliance.knowledge.reading.markdown import blocks


def document(*pages: Page) -> ReadDocument:
    return ReadDocument("text/plain", "en", pages)


def test_pages_headings_and_languages_come_along() -> None:
    found = cut(
        document(
            Page(1, (Block("heading", "Tariff", 1), Block("heading", "Plans", 2),
                     Block("text", "Two plans.", language="en"))),
            Page(2, (Block("text", "दो प्लान।", language="hi"), Block("heading", "Fees", 2),
                     Block("text", "None.", language="en"))),
        )
    )  # fmt: skip
    assert found == [
        Draft("Plans", "Two plans.", 1, language="en"),
        Draft("Plans", "दो प्लान।", 2, language="hi"),
        Draft("Fees", "None.", 2, language="en"),
    ]


def test_a_title_is_left_out_of_the_path_and_a_chapter_is_not() -> None:
    text = Block("text", "It is ten rupees.")
    title = (Block("heading", "Handbook", 1), Block("heading", "Fees", 2), text)
    assert [draft.heading for draft in cut(document(Page(1, title)))] == ["Fees"]
    chapters = (*title, Block("heading", "Annex", 1), text)
    assert [draft.heading for draft in cut(document(Page(1, chapters)))] == [
        "Handbook > Fees",
        "Annex",
    ]


def test_a_question_with_all_its_answer_is_one_passage_with_the_page_it_begins_on() -> None:
    found = cut(
        document(
            Page(3, (Block("heading", "How do I pay?", 2), Block("text", "By card."))),
            Page(4, (Block("text", "Or cash."), Block("faq", "Yes.", question="Is it safe?"))),
        )
    )
    assert found == [
        Draft("How do I pay?", "By card. Or cash.", 3),
        Draft("Is it safe?", "Yes.", 4),
    ]


def test_text_without_sentences_is_cut_all_the_same() -> None:
    found = cut(document(Page(None, (Block("text", "word " * 1000),))))
    assert [len(draft.text.split()) for draft in found] == [120] * 8 + [40]
    found = cut(document(Page(None, (Block("text", "x" * 100_000),))))
    assert max(len(draft.text) for draft in found) <= LONGEST_CHARS
    assert sum(len(draft.text) for draft in found) == 100_000


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["word", "end.", "ठीक।", "why?", "x" * 700]), max_size=400))
def test_no_word_is_lost_and_no_passage_too_long(words: list[str]) -> None:
    text = " ".join(words)
    found = cut(document(Page(None, (Block("text", text),))))
    assert " ".join(draft.text for draft in found) == text
    for draft in found:
        assert len(draft.text.split()) <= LONGEST_WORDS
        assert len(draft.text) <= LONGEST_CHARS


def test_the_sample_gives_a_passage_for_each_question() -> None:
    sample = (files("appliance") / "samples" / "sunrise-broadband.md").read_text("utf-8")
    found = cut(document(Page(None, tuple(blocks(sample)))))
    assert len(found) == 42
    asked = [line.strip("# \n") for line in sample.splitlines() if line.endswith("?")]
    assert [draft.heading for draft in found if draft.heading.endswith("?")] == asked
