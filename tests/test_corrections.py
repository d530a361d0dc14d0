"""The document that corrections stand in: Markdown that anybody can read and mend."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.review.corrections import _line, entries, with_entry
from appliance.turn.words import normal


def test_a_correction_stands_once_the_latest_last() -> None:
    one = with_entry(b"", "What is the fee?", "Ninety.")
    both = with_entry(one, "When are you open?", "At nine.")
    assert both.decode() == (
        "# Corrections\n\n## What is the fee?\n\nNinety.\n\n## When are you open?\n\nAt nine.\n"
    )
    assert entries(with_entry(both, "what is the fee", "Eighty.")) == {
        "When are you open?": "At nine.",
        "what is the fee": "Eighty.",
    }


def test_what_a_person_wrote_into_it_stays() -> None:
    by_hand = b"# Ours\n\nintro\n\n## Fee?\nNinety\nrupees.\n\nOr less.\n\n### deeper\n"
    assert entries(by_hand)["Fee?"].startswith("Ninety rupees. Or less.")
    assert entries(b"") == entries(b"\xff\xfe") == {}


def test_nothing_in_a_correction_is_markup() -> None:
    assert _line("## <b>Fee</b>\n\n`x` [a](b) | c", 100) == "b Fee /b x a (b) c"


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_correction_comes_back(question: str, answer: str) -> None:
    try:
        question, answer = _line(question, 200), _line(answer, 200)
    except UserError:
        return
    found = entries(with_entry(with_entry(b"", "other", "one"), question, answer))
    if normal(question) != ("other",):
        assert found["other"] == "one"
    assert normal(found[question]) == normal(answer)
