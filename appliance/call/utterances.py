"""The words of the turn under way, gathered from one or more utterances at the recogniser."""

from __future__ import annotations

from appliance.engines.base import RecogniserSession
from appliance.events import Transcript


class Utterances:
    """One caller's utterances: each is begun, fed, finished, and answered by one final."""

    def __init__(self) -> None:
        self._recogniser: RecogniserSession | None = None
        self._number = 0
        self._answered = 0
        """The last utterance that needs no answer any more: final come, or given up."""
        self._finals: list[str] = []
        self._partial = ""
        self.open = False
        """Whether audio goes to the recogniser now."""
        self.lost = False
        """The recogniser failed in this turn: what was said is unknown."""

    def attach(self, recogniser: RecogniserSession) -> None:
        """Give it the call's session."""
        self._recogniser = recogniser

    def close(self) -> None:
        """The call is over."""
        if self._recogniser is not None:
            self._recogniser.close()

    def begin(self, pcm: bytes) -> None:
        """A new utterance, which ``pcm`` (L16) begins."""
        if self._partial:
            self.seal()
        self._number += 1
        self.open = True
        if self._recogniser is not None:
            self._recogniser.start(self._number, pcm)

    def feed(self, frame: bytes) -> None:
        """More audio of it."""
        if self.open and self._recogniser is not None:
            self._recogniser.feed(frame)

    def finish(self) -> None:
        """It is over: ask for the final words."""
        if self.open:
            self.open = False
            if self._recogniser is not None:
                self._recogniser.finish()

    @property
    def awaited(self) -> bool:
        """Whether a final transcript is still to come."""
        return self._answered < self._number

    def take(self, transcript: Transcript) -> bool:
        """A transcript has come. False when it belongs to an utterance that was given up."""
        if transcript.utterance != self._number or not self.awaited:
            return False
        self._partial = transcript.text
        if transcript.final:
            self.lost = self.lost or transcript.failed
            self.seal()
        return True

    def put(self, text: str) -> None:
        """Words that nobody spoke, final as they are."""
        self._finals.append(text)

    def seal(self) -> None:
        """Take the words there are for final."""
        self._answered = self._number
        if self._partial:
            self._finals.append(self._partial)
        self._partial = ""

    def forget(self) -> None:
        """The turn is over; words that come later belong to the next."""
        self._finals.clear()
        self._partial = ""
        self.lost = False

    def abandon(self) -> None:
        """Give up the utterance under way and the turn's words."""
        self.open = False
        self._answered = self._number
        self.forget()

    @property
    def words(self) -> str:
        """The turn's words so far."""
        return " ".join(filter(None, (*self._finals, self._partial)))
