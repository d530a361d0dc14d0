"""Endpointing: speech scores in, speech started, paused, resumed and ended out.

Time is counted in audio: every call of :meth:`Endpointer.chunk` advances it by one chunk of the
voice activity detector. No clock, no model, no words.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Activity(Enum):
    """What the caller is doing, as far as sound tells."""

    QUIET = auto()
    SPEAKING = auto()
    PAUSED = auto()
    """Silent after speech, for less than what ends a turn."""


class Sound(Enum):
    """What just happened in the caller's audio."""

    STARTED = auto()
    PAUSED = auto()
    JUDGE = auto()
    """The pause is long enough to ask the turn judge whether the turn sounds complete."""
    RESUMED = auto()
    SETTLED = auto()
    """The turn looks over: time to ask the recogniser for its final words."""
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When sound counts as speech, and silence as its end. Probabilities 0-1; times in ms."""

    start_probability: float = 0.5
    stop_probability: float = 0.35
    """Lower than the start, so that a weak syllable does not end speech (hysteresis)."""
    start_ms: int = 64
    """Speech shorter than this is a click."""
    pause_ms: int = 32
    judge_ms: tuple[int, ...] = (96, 288, 608)
    """The turn judge is asked this far into a pause: early, for a quick answer, and again when it
    has more silence to go by."""
    unjudged_ms: int = 500
    """Silence that ends a turn as long as nobody says otherwise (:meth:`Endpointer.end_after`)."""
    settle_ms: int = 120
    """The final words are asked for this long before the turn can end."""
    longest_ms: int = 30_000
    """A turn this long is ended, so that a line with noise on it cannot hold the floor."""


class Endpointer:
    """Counts speech and silence of one caller."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._t = thresholds
        self.activity = Activity.QUIET
        self.now_ms = 0
        """Audio heard since the call began."""
        self.speech_start_ms = 0
        self.speech_end_ms = 0
        """End of the last speech; meaningful once speech has paused."""
        self._run_ms = 0
        self._silence_ms = 0
        self._end_ms = thresholds.unjudged_ms
        self._settled = False

    def chunk(self, probability: float, chunk_ms: int) -> list[Sound]:
        """Take the speech probability (0-1) of the next ``chunk_ms`` of audio."""
        self.now_ms += chunk_ms
        if self.activity is Activity.QUIET:
            return self._quiet(probability, chunk_ms)
        if self.activity is Activity.SPEAKING:
            return self._speaking(probability, chunk_ms)
        return self._paused(probability, chunk_ms)

    def end_after(self, silence_ms: int) -> None:
        """Let the turn under way end after ``silence_ms`` of silence (until speech resumes)."""
        self._end_ms = silence_ms

    def reset(self) -> None:
        """Forget the turn under way; what is said next starts a new one."""
        self._rest()

    def _quiet(self, probability: float, chunk_ms: int) -> list[Sound]:
        if probability < self._t.start_probability:
            self._run_ms = 0
            return []
        self._run_ms += chunk_ms
        if self._run_ms < self._t.start_ms:
            return []
        self.speech_start_ms = self.now_ms - self._run_ms
        self._speak()
        return [Sound.STARTED]

    def _speaking(self, probability: float, chunk_ms: int) -> list[Sound]:
        if self.now_ms - self.speech_start_ms >= self._t.longest_ms:
            self.speech_end_ms = self.now_ms
            self._rest()
            return [Sound.PAUSED, Sound.SETTLED, Sound.ENDED]
        if probability >= self._t.stop_probability:
            self._silence_ms = 0
            return []
        self._silence_ms += chunk_ms
        if self._silence_ms < self._t.pause_ms:
            return []
        self.activity = Activity.PAUSED
        self.speech_end_ms = self.now_ms - self._silence_ms
        self._run_ms = 0
        return [Sound.PAUSED]

    def _paused(self, probability: float, chunk_ms: int) -> list[Sound]:
        before_ms = self._silence_ms
        self._silence_ms += chunk_ms
        if probability >= self._t.start_probability:
            self._run_ms += chunk_ms
            if self._run_ms >= chunk_ms * 2 or not self._settled:
                self._speak()
                return [Sound.RESUMED]
            return []
        self._run_ms = 0
        sounds = []
        if any(before_ms < at <= self._silence_ms for at in self._t.judge_ms):
            sounds.append(Sound.JUDGE)
        if not self._settled and self._silence_ms >= self._end_ms - self._t.settle_ms:
            self._settled = True
            sounds.append(Sound.SETTLED)
        if self._silence_ms >= self._end_ms:
            self._rest()
            sounds.append(Sound.ENDED)
        return sounds

    def _speak(self) -> None:
        self.activity = Activity.SPEAKING
        self._run_ms = self._silence_ms = 0
        self._end_ms = self._t.unjudged_ms
        self._settled = False

    def _rest(self) -> None:
        self.activity = Activity.QUIET
        self._run_ms = self._silence_ms = 0
