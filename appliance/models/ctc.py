"""Connectionist temporal classification (Graves et al. 2006): from frames' letters to words.

A CTC model says for every 20 ms frame how probable each letter is, and a blank: a letter that runs
over several frames is said once, and a blank stands between two that are alike.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LogProbs = NDArray[np.float32]
"""Natural logarithms of probabilities, shape (frames, letters)."""

SCRIPTS = {
    "as": "BENGALI", "bn": "BENGALI", "brx": "DEVANAGARI", "doi": "DEVANAGARI", "en": "LATIN",
    "gu": "GUJARATI", "hi": "DEVANAGARI", "kn": "KANNADA", "kok": "DEVANAGARI",
    "mai": "DEVANAGARI", "ml": "MALAYALAM", "mr": "DEVANAGARI", "ne": "DEVANAGARI",
    "or": "ORIYA", "pa": "GURMUKHI", "sa": "DEVANAGARI", "ta": "TAMIL", "te": "TELUGU",
    "ur": "ARABIC",
}  # fmt: skip
"""Which letters a language is written with, as Unicode names them."""


@dataclass(frozen=True, slots=True)
class Letters:
    """What a model's outputs stand for."""

    labels: tuple[str, ...]
    """By output; that of a control token (``<s>``) counts for nothing."""
    blank: int
    delimiter: int
    """Between words."""
    controls: frozenset[int]

    def read(self, path: Sequence[int]) -> str:
        """The words of a path, one output a frame."""
        letters: list[str] = []
        before = self.blank
        for output in path:
            if output != before and output != self.blank and output not in self.controls:
                letters.append(" " if output == self.delimiter else self.labels[output])
            before = output
        return " ".join("".join(letters).split())

    def script(self) -> str:
        """The script that most of its letters are of, as Unicode names it; empty for none."""
        names = [unicodedata.name(label, "") for label in self.labels if len(label) == 1]
        scripts = Counter(name.split()[0] for name in names if "LETTER" in name)
        return scripts.most_common(1)[0][0] if scripts else ""

    def spells(self, word: str) -> bool:
        """Whether the model has all letters of ``word``."""
        return set(word) <= set(self.labels)


def greedy(frames: LogProbs, letters: Letters) -> str:
    """The words of the most probable path."""
    return letters.read(np.argmax(frames, axis=1).tolist()) if len(frames) else ""


def confidence(frames: LogProbs, letters: Letters) -> float:
    """Mean probability (geometric) of the letters on the most probable path, 0-1; 0 for none."""
    if not len(frames):
        return 0.0
    path = np.argmax(frames, axis=1)
    said = frames.max(axis=1)[(path != letters.blank) & (path != letters.delimiter)]
    return round(min(1.0, math.exp(float(said.mean()))), 3) if len(said) else 0.0
