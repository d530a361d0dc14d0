"""One reply: its words, their audio as it is made, and when each stage of it happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.events import Passage, ReplySource
from appliance.media.playout import Utterance
from appliance.turn.heard import Spoken, heard

MS_PER_LETTER = 65
"""About 15 letters a second: how long a phrase will be whose audio is still being made."""


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
        self.task: asyncio.Task[None] | None = None
        self._clock = clock
        self._spoken: list[Spoken] = []
        self._phrase = ""
        self._phrase_start_ms = 0
        self._announced = 0

    def searched(self, passages: tuple[Passage, ...]) -> None:
        """The passages are there."""
        self.passages = passages
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

    def fail(self, why: str) -> None:
        """Note, in plain words, what went wrong on the way."""
        self.failure = f"{self.failure}; {why}" if self.failure else why

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

    def _with_phrase_under_way(self) -> list[Spoken]:
        if not self._phrase:
            return self._spoken
        start = self._phrase_start_ms
        end = max(self.utterance.written_ms, start + len(self._phrase) * MS_PER_LETTER)
        return [*self._spoken, Spoken(self._phrase, start, end)]
