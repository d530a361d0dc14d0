"""How a phrase is cut into the pieces that a voice speaks at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.models.speech_text import LONGEST_PIECE, pieces

WORDS = st.text(st.sampled_from("नमस्ते बिल abc.,?! ।;\n"), max_size=900)


@given(WORDS)
def test_nothing_is_lost_but_space_and_no_piece_is_too_long(text: str) -> None:
    cut = pieces(text)
    assert "".join("".join(cut).split()) == "".join(text.split())
    assert all(0 < len(piece) <= LONGEST_PIECE for piece in cut)


def test_sentences_of_every_script_end_pieces() -> None:
    assert pieces("नमस्ते। आप कैसे हैं? ठीक है!") == ["नमस्ते।", "आप कैसे हैं?", "ठीक है!"]
    assert pieces("யார்? நான்.") == ["யார்?", "நான்."]
    assert pieces("کیا۔ ہاں۔") == ["کیا۔", "ہاں۔"]


def test_a_number_is_no_end_of_a_sentence() -> None:
    assert pieces("It costs 7.50 rupees.") == ["It costs 7.50 rupees."]


def test_a_long_sentence_is_cut_at_a_comma() -> None:
    clause = "word " * 30 + "end"
    assert pieces(f"{clause}, {clause}.") == [f"{clause},", f"{clause}."]


def test_nothing_to_say() -> None:
    assert pieces(" \n ") == []
