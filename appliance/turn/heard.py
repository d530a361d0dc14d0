"""What the caller truly heard: played ms -> the words spoken by then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spoken:
    """One phrase of a reply and the audio it became, in ms from the reply's first sample."""

    text: str
    start_ms: int
    end_ms: int


def heard(phrases: Sequence[Spoken], played_ms: int) -> str:
    """The words whose sound had been played when the reply stopped after ``played_ms``.

    A phrase cut in the middle is cut between words, in proportion to their letters: no engine we
    run reports word times, and half a word more or less does not change what a listener knows.
    """
    return " ".join(text for text in (_cut(p, played_ms) for p in phrases) if text)


def _cut(phrase: Spoken, played_ms: int) -> str:
    if played_ms <= phrase.start_ms or phrase.end_ms <= phrase.start_ms:
        return ""  # not reached, or never made into sound
    if played_ms >= phrase.end_ms:
        return phrase.text
    words = phrase.text.split()
    letters = sum(len(w) for w in words)
    budget = letters * (played_ms - phrase.start_ms) / (phrase.end_ms - phrase.start_ms)
    kept: list[str] = []
    for word in words:
        budget -= len(word)
        if budget < 0:
            break
        kept.append(word)
    return " ".join(kept)
