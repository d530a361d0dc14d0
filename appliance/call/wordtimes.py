"""Where the words of an utterance lie in its audio, from what the recogniser wrote and when.

A streaming recogniser tells with every partial transcript how much audio its words cover. So a word
lies between the end of the last partial that did not have it and that of the first that did. An
engine that gives no partials tells only that its words lie somewhere in the utterance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from appliance.audio import FRAME_MS
from appliance.turn.heard import Spoken

BEFORE_MS = 500
"""Recognisers write a word when the next has begun, or later; and an onset is heard in a few ms."""
AFTER_MS = 300
PHRASE_MARGIN_MS = 300
"""Around words placed by the share of their letters in a phrase."""
MOST_WORDS = 400
"""In one utterance; those after it are placed with the last."""
MOST_MATCHED = 60
"""Words since the last transcript, or written anew; of more it is only told that they are new."""


@dataclass(frozen=True, slots=True)
class _Timed:
    word: str
    begin_ms: int
    end_ms: int


class WordTimes:
    """The words of one utterance, as its transcripts come in."""

    def __init__(self) -> None:
        self._words: list[_Timed] = []
        self._covered_ms = 0

    @property
    def text(self) -> str:
        """The words so far, with one space between two."""
        return " ".join(timed.word for timed in self._words)

    @property
    def covered_ms(self) -> int:
        """How much of the utterance's audio has been heard."""
        return self._covered_ms

    def hear(self, text: str, audio_ms: int) -> None:
        """A transcript of the utterance: all its words so far, which cover ``audio_ms`` of it."""
        words = text.split()[:MOST_WORDS]
        known = self._words
        audio_ms = max(audio_ms, self._covered_ms)
        placed: list[_Timed] = []
        for change, a, b, c, d in _changes([t.word for t in known], words):
            if change == "equal":
                placed += known[a:b]
            elif change != "delete":
                begin, end = self._place(a, b, audio_ms)
                placed += [_Timed(word, begin, end) for word in words[c:d]]
        self._words = placed
        self._covered_ms = audio_ms

    def place(self, begin: int, end: int) -> tuple[int, int]:
        """The audio, in ms of the utterance, in which letters ``[begin, end)`` of ``text`` lie."""
        at, found = 0, []
        for timed in self._words:
            if at < end and at + len(timed.word) > begin:
                found.append(timed)
            at += len(timed.word) + 1
        if not found:
            return 0, self._covered_ms + AFTER_MS
        first_ms = min(timed.begin_ms for timed in found)
        last_ms = max(timed.end_ms for timed in found)
        return max(0, first_ms - BEFORE_MS), last_ms + AFTER_MS

    def _place(self, a: int, b: int, audio_ms: int) -> tuple[int, int]:
        """Between the neighbours of the words ``[a, b)`` that new ones stand in place of."""
        known = self._words
        if a < b:  # heard anew: no later than the words that were there
            begin = min(t.begin_ms for t in known[a:b])
            return begin, audio_ms if b == len(known) else max(t.end_ms for t in known[a:b])
        if a == len(known):
            return self._covered_ms if known else 0, audio_ms
        before = known[a - 1].begin_ms if a else 0
        return before, known[a].end_ms


def _changes(
    known: Sequence[str], words: Sequence[str]
) -> Iterator[tuple[str, int, int, int, int]]:
    """What became of the words, as :meth:`SequenceMatcher.get_opcodes` says it.

    Mostly some are added. Where many differ no pairs are looked for: of 400 words that are alike that
    takes half a second.
    """
    same = 0
    for one, other in zip(known, words, strict=False):
        if one != other:
            break
        same += 1
    if same:
        yield "equal", 0, same, 0, same
    old, new = known[same:], words[same:]
    if max(len(old), len(new)) > MOST_MATCHED:
        yield "replace", same, len(known), same, len(words)
        return
    for change, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        yield change, same + a, same + b, same + c, same + d


def place_in_phrases(phrases: Sequence[Spoken], begin: int, end: int) -> list[tuple[int, int]]:
    """The audio, in ms of the reply, of letters ``[begin, end)`` of the phrases joined by spaces.

    In each phrase in proportion to its letters, since no voice reports the times of its words.
    """
    found, at = [], 0
    for phrase in phrases:
        length = len(phrase.text)
        first, last = max(begin - at, 0), min(end - at, length)
        if first < last:
            ms = (phrase.end_ms - phrase.start_ms) / length
            begin_ms = round(phrase.start_ms + first * ms) - PHRASE_MARGIN_MS
            end_ms = round(phrase.start_ms + last * ms) + PHRASE_MARGIN_MS
            found.append((max(begin_ms, phrase.start_ms, 0), min(end_ms, phrase.end_ms)))
        at += length + 1
    return found


class PlayedTimes:
    """When each part of a reply was played: its audio's ms -> the call's media clock.

    A hold, or audio that was not ready, moves what follows.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[int, int]] = []
        """(ms of the audio, ms of the clock) from which on they run alike."""
        self._last_ms = 0

    def played(self, audio_ms: int, clock_ms: int) -> None:
        """The frame that ends at ``audio_ms`` of the reply ended at ``clock_ms``."""
        self._last_ms = audio_ms
        if not self._steps or clock_ms - audio_ms != self._steps[-1][1] - self._steps[-1][0]:
            self._steps.append((audio_ms, clock_ms))

    def on_clock(self, begin_ms: int, end_ms: int) -> list[tuple[int, int]]:
        """The spans of the clock in which audio ``[begin_ms, end_ms]`` was played."""
        found = []
        for at, (audio_ms, clock_ms) in enumerate(self._steps):
            start = audio_ms - FRAME_MS if at else 0
            stop = self._steps[at + 1][0] - FRAME_MS if at + 1 < len(self._steps) else self._last_ms
            first, last = max(begin_ms, start), min(end_ms, stop)
            if first < last:
                shift = clock_ms - audio_ms
                found.append((first + shift, last + shift))
        return found
