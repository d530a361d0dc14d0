"""Extractive answers: pure, word for word, and silent when unsure."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.events import Passage
from appliance.knowledge.answers import LONGEST_WORDS, extract
from appliance.knowledge.scoring import ANSWER_FLOOR
from appliance.speech.sentences import sentences

PAY = Passage(
    "1",
    "a.md",
    "How can I pay my bill?",
    "You can pay your bill in the app, on our website, by card, or by bank transfer."
    " Cash is taken at our offices.",
    0.8,
)
FEE = Passage("2", "a.md", "What is the late fee?", "The late fee is one hundred rupees.", 0.5)
LONG = Passage(
    "3",
    "a.md",
    "Router",
    "The router has four lights. " + "Each one of them says something about your line. " * 5,
    0.7,
)


def test_begins_with_the_fact_and_says_whole_sentences() -> None:
    assert extract("how do I pay", [PAY, FEE]) == PAY.text


def test_begins_with_the_later_sentence_that_answers() -> None:
    paying = replace(PAY, heading="Bills > Payment")
    assert extract("can I use cash", [paying, FEE]) == "Cash is taken at our offices."
    much = replace(PAY, text=f"{PAY.text} {'You get a receipt for each payment. ' * 5}")
    answer = extract("can I use cash", [much, FEE])
    assert answer is not None and answer.startswith("Cash is taken at our offices. You get")


def test_a_heading_that_asks_the_same_wins_over_a_slightly_better_score() -> None:
    closer = Passage("4", "a.md", "When is my bill due?", "It is due on the tenth.", 0.54)
    assert extract("what is the late fee", [closer, FEE]) == FEE.text


def test_nothing_when_unsure() -> None:
    unsure = Passage("5", "a.md", "x", "Some text.", ANSWER_FLOOR - 0.01)
    assert extract("how do I pay", [unsure]) is None
    assert extract("how do I pay", []) is None


def test_stops_before_it_gets_long() -> None:
    answer = extract("what do the lights on the router mean", [LONG])
    assert answer is not None and answer.startswith("The router has four lights. Each one")
    assert len(answer.split()) <= LONGEST_WORDS


def test_one_long_sentence_is_not_cut() -> None:
    text = "It is " + "very " * 60 + "long."
    assert extract("is it long", [Passage("6", "a", "Long?", text, 0.9)]) == text


def test_hindi() -> None:
    text = "हमारा कार्यालय सुबह आठ बजे खुलता है। रात दस बजे बंद होता है।"
    assert extract("कार्यालय कब खुलता है", [Passage("7", "a", "समय", text, 0.9)]) == text


_WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
_TEXT = st.lists(
    st.one_of(_WORDS, st.sampled_from([".", "? ", "! ", "। ", "e.g. ", "Dr. ", "\n", " ", "rupees"])),
    max_size=40,
).map("".join)  # fmt: skip
_PASSAGE = st.builds(
    Passage, st.just("1"), st.just("d"), _TEXT, _TEXT, st.floats(0, 1, allow_nan=False)
)


@given(_TEXT, st.lists(_PASSAGE, max_size=5))
def test_always_whole_sentences_of_one_passage(question: str, passages: list[Passage]) -> None:
    answer = extract(question, passages)
    if answer is None:
        assert all(p.score < ANSWER_FLOOR or not p.text.strip() for p in passages)
        return
    assert answer.strip()
    assert any(_is_run_of_sentences(answer, passage) for passage in passages)


def _is_run_of_sentences(answer: str, passage: Passage) -> bool:
    """``answer`` is in the text, and is some of its sentences in a row, none of them cut."""
    found = sentences(passage.text)
    runs = (
        found[begin:end] for begin in range(len(found)) for end in range(begin + 1, len(found) + 1)
    )
    squeezed = "".join(answer.split())
    return answer in passage.text and any(
        "".join("".join(run).split()) == squeezed
        and (len(run) == 1 or len(answer.split()) <= LONGEST_WORDS)
        for run in runs
    )


@given(_TEXT)
def test_sentences_lose_nothing(text: str) -> None:
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(sentence in text and sentence == sentence.strip() for sentence in found)


def test_sentences_know_abbreviations() -> None:
    text = "Dr. Rao pays Rs. 499.50 at no. 5, e.g. by card. Then? Yes! ठीक है। Bye"
    assert sentences(text) == [
        "Dr. Rao pays Rs. 499.50 at no. 5, e.g. by card.", "Then?", "Yes!", "ठीक है।", "Bye",
    ]  # fmt: skip
