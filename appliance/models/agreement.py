"""Which words of a recogniser's changing hypotheses are shown: those that it says twice.

LocalAgreement-2 (Macháček, Dabre, Bojar: Turning Whisper into Real-Time Transcription System,
2023): a word is shown once two consecutive hypotheses have it. What is shown then only grows, for
a reply may have been begun on it; the final, or a pause, may correct it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

LONGEST_ANCHOR_WORDS = 3
"""So many of the last words shown are looked for where a hypothesis begins otherwise."""


class Agreement:
    """The words shown of one utterance."""

    def __init__(self) -> None:
        self._before: list[str] = []
        self._shown: list[str] = []

    @property
    def shown(self) -> str:
        """The words that stand."""
        return " ".join(self._shown)

    def hear(self, hypothesis: str) -> str:
        """Take the next hypothesis; what is shown now."""
        words = hypothesis.split()
        agreed = words[: _common(self._before, words)]
        self._before = words
        self._shown += _continuation(self._shown, agreed)
        return self.shown

    def settle(self, hypothesis: str) -> str:
        """Take a hypothesis that nothing more is coming to: it is shown as it is."""
        self._before = hypothesis.split()
        self._shown = list(self._before)
        return self.shown


def bare(word: str) -> str:
    """``word`` without case and punctuation, which change with every hypothesis."""
    kept = (c for c in word.casefold() if unicodedata.category(c)[0] not in "PS")
    return "".join(kept) or word


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length in words of the longest common beginning."""
    pairs = zip(one, other, strict=False)
    return next(
        (i for i, (a, b) in enumerate(pairs) if bare(a) != bare(b)), min(len(one), len(other))
    )


def _continuation(shown: Sequence[str], agreed: Sequence[str]) -> Sequence[str]:
    """What of ``agreed`` comes after ``shown``; nothing where that cannot be told."""
    at = _common(shown, agreed)
    if at == len(shown):
        return agreed[at:]
    bare_agreed = [bare(word) for word in agreed]
    for length in range(min(LONGEST_ANCHOR_WORDS, len(shown)), 0, -1):
        anchor = [bare(word) for word in shown[-length:]]
        # Where the hypotheses now begin otherwise, words may have come or gone by a few.
        for start in sorted(
            range(len(agreed) - length + 1), key=lambda i: abs(i + length - len(shown))
        ):
            if bare_agreed[start : start + length] == anchor:
                return agreed[start + length :]
    return ()
