"""One reply: its words, their audio as it is made, and when each stage of it happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from appliance.events import Passage, ReplySource, Side
from appliance.media.playout import Utterance
from appliance.safety.findings import Finding
from appliance.turn.heard import Spoken, heard

MS_PER_LETTER = 65
"""About 15 letters a second: how long a phrase will be whose audio is still being made."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the guard found in a reply, or in the words that it answers, and what became of it."""

    finding: Finding
    action: Literal["stopped", "late", "flagged"]
    phrase: str
    """The whole phrase that it was found in."""
    side: Side = "agent"


@dataclass(frozen=True, slots=True)
class Safe:
    """What is said in place of what the guard stops; ``audio`` empty: it is not kept."""

    text: str
    audio: bytes


class Reply:
    """What the agent says in one turn; filled by the composer, played by the playout.

    A reply is made by one task. Cancelling that task is how it is stopped, wherever it is.
    """

    def __init__(
        self, source: ReplySource, said: str, rate_hz: int, clock: Callable[[], int]
    ) -> None:
        self.source: ReplySource = source
        self.said = said
        """The caller's words that it answers."""
        self.question = said
        """The same, completed from the talk before."""
        self.utterance = Utterance(rate_hz)
        self.text = ""
        self.passages: tuple[Passage, ...] = ()
        self.failure = ""
        self.wants_person = False
        """The language model asked for a transfer."""
        self.speculative = False
        self.begun_ms = clock()
        self.retrieval_ms: int | None = None
        self.first_token_ms: int | None = None
        self.first_phrase_ms: int | None = None
        self.first_audio_ms: int | None = None
        self.last_token_ms: int | None = None
        self.last_audio_ms: int | None = None
        self.held_ms = 0
        """How long the first phrase's audio waited for its verdict."""
        self.findings: list[Found] = []
        self.tell: Callable[[Found], None] | None = None
        """Set when the turn is over: what is found later is told there."""
        self.safe = Safe("", b"")
        self.task: asyncio.Task[None] | None = None
        self._clock = clock
        self._spoken: list[Spoken] = []
        self._phrase = ""
        self._phrase_start_ms = 0
        self._announced = 0
        self._is_cut = False

    def searched(self, passages: tuple[Passage, ...], question: str) -> None:
        """The passages for ``question`` are there."""
        self.passages = passages
        self.question = question
        self.retrieval_ms = self._clock()

    def written(self, text: str) -> None:
        """The language model wrote ``text``."""
        if self.first_token_ms is None:
            self.first_token_ms = self._clock()
        self.text += text

    def all_written(self) -> None:
        """The language model has written it all; before that it may be cut."""
        self.last_token_ms = self._clock()

    def phrased(self) -> None:
        """A phrase is ready to be spoken."""
        if self.first_phrase_ms is None:
            self.first_phrase_ms = self._clock()

    def begin_phrase(self, text: str) -> None:
        """The audio that is written next says ``text``."""
        self._phrase, self._phrase_start_ms = text, self.utterance.written_ms

    def sound(self, pcm: bytes) -> None:
        """Audio of the phrase under way."""
        if self.first_audio_ms is None:
            self.first_audio_ms = self._clock()
        self.utterance.write(pcm)

    def end_phrase(self) -> None:
        """The phrase under way, if there is one, has all its audio."""
        if not self._phrase:
            return
        end_ms = self.utterance.written_ms
        self._spoken.append(Spoken(self._phrase, self._phrase_start_ms, end_ms))
        self._phrase = ""

    def all_spoken(self) -> None:
        """The voice has spoken it all."""
        self.last_audio_ms = self._clock()

    def found(self, found: Found) -> None:
        """The guard found something; told twice, it is one thing."""
        if found in self.findings:
            return
        self.findings.append(found)
        if found.action == "stopped":
            self.fail(f"the guard stopped a phrase: {found.finding.rule}")
        if self.tell is not None:
            self.tell(found)

    def cut_short(self, phrase: str) -> None:
        """A phrase turns out unsafe while it is heard: what is left of the reply from it on is
        replaced by the safe phrase."""
        played_ms = self.utterance.played_ms
        spoken = self._with_phrase_under_way()
        known = any(s.text == phrase for s in spoken)
        if self._is_cut or not known or self.utterance.finished:
            return  # a second verdict does not cut the safe phrase
        self._is_cut = True
        self.cancel()
        kept = [Spoken(heard([s], played_ms), s.start_ms, min(s.end_ms, played_ms)) for s in spoken]
        self._spoken = [s for s in kept if s.text]
        self._phrase = ""
        self.utterance.replace_rest(self.safe.audio)
        if self.safe.audio:
            self._spoken.append(Spoken(self.safe.text, played_ms, self.utterance.written_ms))

    def place_of(self, phrase: str) -> tuple[int, int] | None:
        """Where in its audio a phrase lies, (begin, end) in ms, as far as it was spoken before it was
        cut; None when it was never spoken."""
        spoken = self._with_phrase_under_way()
        found = [s for s in spoken if s.text == phrase]
        if self._is_cut:
            found += [s for s in spoken if phrase.startswith(s.text)]
        return next(((s.start_ms, s.end_ms) for s in found), None)

    def fail(self, why: str) -> None:
        """Note, in plain words, what went wrong on the way."""
        self.failure = f"{self.failure}; {why}" if self.failure else why

    def now_ms(self) -> int:
        """The call's media clock."""
        return self._clock()

    def cancel(self) -> None:
        """Stop making it."""
        if self.task is not None:
            self.task.cancel()

    def phrase_begun(self) -> str | None:
        """The phrase that the caller has begun to hear since this was last asked, if any."""
        spoken = self._with_phrase_under_way()
        if self._announced == len(spoken):
            return None
        phrase = spoken[self._announced]
        if self.utterance.played_ms <= phrase.start_ms:
            return None
        self._announced += 1
        return phrase.text

    @property
    def heard(self) -> str:
        """The words played to the caller so far."""
        return heard(self._with_phrase_under_way(), self.utterance.played_ms)

    @property
    def phrases(self) -> tuple[Spoken, ...]:
        """Every phrase so far with its place in the audio; that of one under way is a guess."""
        return tuple(self._with_phrase_under_way())

    def _with_phrase_under_way(self) -> list[Spoken]:
        if not self._phrase:
            return self._spoken
        start = self._phrase_start_ms
        end = max(self.utterance.written_ms, start + len(self._phrase) * MS_PER_LETTER)
        return [*self._spoken, Spoken(self._phrase, start, end)]
