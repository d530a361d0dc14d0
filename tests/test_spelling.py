"""The ways of writing one word that every fold makes one."""

from __future__ import annotations

import pytest

from appliance.knowledge.folding import folded
from appliance.safety.tokens import fold
from appliance.safety.wordfold import fold_word
from appliance.spelling import SAME_LETTERS, with_anusvara

PAIRS = (
    ("हिन्दी", "हिंदी"),
    ("पाँच", "पांच"),
    ("ज़रूर", "जरूर"),
    ("સંબન્ધ", "સંબંધ"),
    ("വൺ", "വണ്"),
    ("café", "CAFE"),
    ("कि\u200dया", "किया"),
)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_every_fold_makes_them_one(one: str, other: str) -> None:
    assert folded(one) == folded(other)
    assert fold_word(one) == fold_word(other)


@pytest.mark.parametrize(("one", "other"), [*PAIRS[:3], PAIRS[-1], ("पन्द्रह", "पद्रह")])
def test_number_words_are_one_without_their_nasal_too(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("बिल", "बल"), ("मई", "मी"), ("ரவை", "ரவா")])
def test_vowel_signs_are_kept(one: str, other: str) -> None:
    assert folded(one) != folded(other) and fold_word(one) != fold_word(other)


def test_a_nasal_before_another_row_stays() -> None:
    assert with_anusvara("हिन्दी ਹਿਨ੍ਦੀ ಹಿನ್ದಿ") == "हिंदी ਹਿਂਦੀ ಹಿಂದಿ"
    assert with_anusvara("जन्म वन्य") == "जन्म वन्य"


def test_no_sign_stands_for_one_that_stands_for_another() -> None:
    table = str.maketrans(SAME_LETTERS)
    for instead in SAME_LETTERS.values():
        assert instead.translate(table) == instead
