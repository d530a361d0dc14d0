"""What is kept of turns without a language model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.call.digest import LONGEST_LETTERS, SAID, digest


def test_the_callers_statements_stand_there_word_for_word_newest_first() -> None:
    first = digest("", [("i want a refund", "Which bill?"), ("yes", "Good."), ("the may bill", "")])
    assert first == f"{SAID}the may bill\n{SAID}i want a refund"
    again = digest(first, [("it was 900 rupees", "")])
    assert again.splitlines() == [f"{SAID}it was 900 rupees", *first.splitlines()]


def test_a_summary_made_before_stays() -> None:
    turns = [(f"words {n} " + "y" * 100, "") for n in range(40)]
    kept = digest("Asha wants a refund; it was promised by Friday.", turns)
    assert kept.splitlines()[-1].startswith("Asha wants a refund")


def test_what_holds_a_figure_outlives_what_does_not() -> None:
    memory = digest("", [("my bill number is 4711", "")])
    for n in range(30):
        memory = digest(memory, [(f"i really do not know what to say {'z' * (n + 50)}", "")])
    assert "4711" in memory and memory.count(SAID) < 31


@given(
    st.text(max_size=3000),
    st.lists(st.tuples(st.text(max_size=400), st.just("")), max_size=20),
)
def test_it_is_bounded(memory: str, turns: list[tuple[str, str]]) -> None:
    assert len(digest(memory, turns)) <= LONGEST_LETTERS
