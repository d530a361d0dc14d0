"""From frames to letters to words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.models.ctc import SCRIPTS, Letters, LogProbs, confidence, greedy

LABELS = ("<pad>", "<s>", "</s>", "<unk>", "|", "न", "म", "ी", "त")
LETTERS = Letters(LABELS, 0, 4, frozenset({1, 2, 3}))


def frames(path: list[int], sure: float = 0.9) -> LogProbs:
    """Frames whose most probable path this is."""
    rest = (1 - sure) / (len(LABELS) - 1)
    rows = np.full((len(path), len(LABELS)), rest, np.float32)
    rows[range(len(path)), path] = sure
    return np.log(rows)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([], ""),
        ([0, 0], ""),
        ([5, 5, 5], "न"),
        ([5, 0, 5], "नन"),
        ([5, 4, 4, 0, 4, 6], "न म"),
        ([4, 5, 4], "न"),
        ([1, 5, 3, 7, 2], "नी"),
        ([5, 1, 5], "नन"),  # a control token ends a letter, as a blank does
    ],
)
def test_a_path_is_read(path: list[int], text: str) -> None:
    assert greedy(frames(path), LETTERS) == LETTERS.read(path) == text


@given(st.lists(st.sampled_from("नमीत "), max_size=30), st.data())
def test_any_words_are_read_from_any_path_that_says_them(
    text: list[str], data: st.DataObject
) -> None:
    path: list[int] = []
    for letter in text:
        output = 4 if letter == " " else LABELS.index(letter)
        blanks = data.draw(st.integers(1, 3))  # one is needed between letters that are alike
        path += [0] * blanks + [output] * data.draw(st.integers(1, 3))
    assert LETTERS.read(path) == " ".join("".join(text).split())


@given(st.lists(st.integers(0, 8), max_size=40), st.integers(0, 40))
def test_frames_read_in_two_parts_are_read_as_one(path: list[int], cut: int) -> None:
    """What a session joins is what was cut."""
    whole = frames(path)
    assert greedy(np.concatenate((whole[:cut], whole[cut:])), LETTERS) == LETTERS.read(path)


def test_confidence_is_that_of_the_letters() -> None:
    assert confidence(frames([0, 4, 0]), LETTERS) == 0.0
    assert confidence(frames([], 0.5), LETTERS) == 0.0
    assert confidence(frames([0, 5, 6, 0], 0.64), LETTERS) == pytest.approx(0.64, abs=1e-3)
    mixed = np.concatenate((frames([5], 0.9), frames([6], 0.4)))
    assert confidence(mixed, LETTERS) == pytest.approx(math.sqrt(0.36), abs=1e-3)


def test_the_script_tells_languages_apart() -> None:
    assert LETTERS.script() == SCRIPTS["hi"] == SCRIPTS["mr"] == "DEVANAGARI"
    latin = Letters((*LABELS[:5], *"ABC'"), 0, 4, frozenset({1, 2, 3}))
    assert latin.script() == SCRIPTS["en"]
    assert Letters(("<pad>", "|"), 0, 1, frozenset()).script() == ""
    for language, letter in {"ta": "அ", "te": "అ", "kn": "ಅ", "ml": "അ", "or": "ଅ", "pa": "ਅ",
                             "gu": "અ", "bn": "অ", "ur": "ا"}.items():  # fmt: skip
        assert Letters((letter,), 0, 0, frozenset()).script() == SCRIPTS[language]
