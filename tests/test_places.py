"""Where in a recording a phrase lies."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from appliance.events import Stages, Turn
from appliance.review.places import Place, caller_place, heard_phrases

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def turn(heard: str, stages: Stages, *, barged_in: bool = False) -> Turn:
    return Turn("c", 1, NOW, "said", heard, heard, "extractive", stages, None, (), barged_in)


def test_a_phrase_lies_where_its_letters_come() -> None:
    text = "The fee is ninety rupees. You idiot."
    found = heard_phrases(turn(text, Stages(1000, 2000, first_frame=3000)), None)
    assert [p.text for p in found] == ["The fee is ninety rupees.", "You idiot."]
    assert found[1].before == "The fee is ninety rupees."
    assert found[0].place == Place(3000, 3000 + 25 * 65)
    assert found[1].place == Place(3000 + 26 * 65, 3000 + 36 * 65)
    assert caller_place(turn("", Stages(1000, 2000))) == Place(1000, 2000)


def test_it_never_reaches_into_the_next_turn() -> None:
    one = turn("A long reply that the caller cuts off", Stages(first_frame=100), barged_in=True)
    found = heard_phrases(one, turn("x", Stages(speech_start=900, first_frame=2500)))
    assert found[-1].place.end_ms == 900
    later = turn("A reply that is heard whole", Stages(first_frame=100))
    found = heard_phrases(later, turn("x", Stages(speech_start=500, first_frame=1000)))
    assert found[-1].place.end_ms == 1000


def test_what_was_never_heard_has_no_place() -> None:
    assert heard_phrases(turn("", Stages(first_frame=3)), None) == []
    (found,) = heard_phrases(turn("Hello there.", Stages()), None)
    assert found.place == Place(None, None)


@given(st.text(max_size=200))
def test_any_text_is_cut_into_phrases_in_order(text: str) -> None:
    found = heard_phrases(turn(text, Stages(first_frame=0)), None)
    begins = [p.place.begin_ms for p in found if p.place.begin_ms is not None]
    assert begins == sorted(begins)
    assert all(p.text in text or p.text for p in found)
