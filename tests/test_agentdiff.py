"""What is different between two states of an agent."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.admin.agents.diff import MOST_WORDS, Change, Piece, changed_fields, compare, diff

TEXT = st.text("ab \n.é", max_size=60)
VALUE = (
    TEXT
    | st.integers()
    | st.booleans()
    | st.lists(TEXT, max_size=4)
    | st.dictionaries(TEXT, TEXT, max_size=4)
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("a", "a", ()),
        ("", None, ()),
        (None, [], ()),
        ({}, None, ()),
        ("", "Hi", (Change("f", "", "added", "", "Hi"),)),
        ("Hi", "", (Change("f", "", "removed", "Hi", ""),)),
        (240, 300, (Change("f", "", "changed", "240", "300"),)),
        (0, False, (Change("f", "", "changed", "0", "no"),)),
        (True, False, (Change("f", "", "changed", "yes", "no"),)),
        (["a", "b"], ["a", "c", "b"], (Change("f", "", "added", "", "c"),)),
        (["a", "b"], ["b"], (Change("f", "", "removed", "a", ""),)),
        ({"1": "x"}, {"1": "x", "2": "y"}, (Change("f", "2", "added", "", "y"),)),
        ({"1": "x"}, {}, (Change("f", "1", "removed", "x", ""),)),
        (
            "Hello there.",
            "Hello you.",
            (
                Change(
                    *("f", "", "changed", "Hello there.", "Hello you."),
                    (
                        Piece("same", "Hello "), Piece("removed", "there"),
                        Piece("added", "you"), Piece("same", "."),
                    ),
                ),
            ),
        ),
    ],
)  # fmt: skip
def test_one_field(before: Any, after: Any, expected: tuple[Change, ...]) -> None:
    assert diff({"f": before}, {"f": after}) == expected
    assert changed_fields({"f": before}, {"f": after}) == (("f",) if expected else ())


def test_a_changed_word_in_a_long_prompt_is_that_word() -> None:
    lines = [f"Rule {n}: be brief and kind.\n" for n in range(1000)]
    changed = [*lines[:700], "Rule 700: be brief and cruel.\n", *lines[701:]]
    pieces = compare("".join(lines), "".join(changed))
    assert [p.text for p in pieces if p.kind != "same"] == ["kind", "cruel"]


def test_a_line_too_long_to_compare_is_replaced_whole() -> None:
    before, after = "a " * MOST_WORDS, "b " * MOST_WORDS
    assert compare(before, after) == (Piece("removed", before), Piece("added", after))


@given(TEXT, TEXT)
def test_both_texts_are_in_the_pieces(before: str, after: str) -> None:
    pieces = compare(before, after)
    assert "".join(p.text for p in pieces if p.kind != "added") == before
    assert "".join(p.text for p in pieces if p.kind != "removed") == after
    assert all(one.kind != two.kind for one, two in pairwise(pieces))


@given(st.dictionaries(TEXT, VALUE, max_size=5), st.dictionaries(TEXT, VALUE, max_size=5))
def test_any_two_states(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert diff(before, before) == ()
    forth, back = diff(before, after), diff(after, before)
    assert sorted(c.field for c in forth) == sorted(c.field for c in back)
    opposite = {"added": "removed", "removed": "added", "changed": "changed"}
    assert sorted((c.field, c.entry, c.kind) for c in forth if not isinstance(after.get(c.field), list)
                  and not isinstance(before.get(c.field), list)) == sorted(
        (c.field, c.entry, opposite[c.kind]) for c in back
        if not isinstance(after.get(c.field), list) and not isinstance(before.get(c.field), list)
    )  # fmt: skip
