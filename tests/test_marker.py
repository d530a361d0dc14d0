"""The marker by which the language model asks for a person: found however the text is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.call.marker import MARKER, Marker


def through(pieces: list[str]) -> tuple[str, bool]:
    marker = Marker()
    return "".join(marker.feed(piece) for piece in pieces) + marker.flush(), marker.found


@pytest.mark.parametrize("pieces", [["One moment. [transfer]"], ["One moment. [tra", "nsfer]"]])
def test_it_is_found_and_not_spoken(pieces: list[str]) -> None:
    assert through(pieces) == ("One moment. ", True)


def test_other_brackets_are_spoken() -> None:
    assert through(["Press [1]", " or [trans", "port]."]) == ("Press [1] or [transport].", False)
    assert through(["an open [tran"]) == ("an open [tran", False)
    assert through(["[[transfer]]"]) == ("[]", True)
    assert through(["Yes [TRANSFER]"]) == ("Yes ", True)


@given(st.text(alphabet="a[]transfe ", max_size=40), st.lists(st.integers(0, 60), max_size=8))
@example("x[transfer]y", [3, 5, 9])
def test_how_it_is_cut_changes_nothing(text: str, cuts: list[int]) -> None:
    at = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(at)]
    clean, found = through(pieces)
    assert (clean, found) == through([text])
    assert found == (MARKER in text) and len(clean) == len(text) - len(MARKER) * text.count(MARKER)


def test_text_without_a_bracket_is_never_kept_back() -> None:
    marker = Marker()
    assert [marker.feed(piece) for piece in ("We ", "are ", "open")] == ["We ", "are ", "open"]
