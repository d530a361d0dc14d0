"""Who has answered a call that we made, as the call goes by it."""

from __future__ import annotations

from appliance.call.past import Past
from appliance.events import Offer
from appliance.turn.answering import Answering, Verdict


class Callee:
    """The far end of one call; of a call that came in nothing is asked."""

    def __init__(self, offer: Offer, past: Past) -> None:
        self._rate_hz = offer.rate_hz
        self.answered_by = past.call.answered_by if past.call else ""
        """``WHO:SIGN``, as the call's row has it; empty while it is not known."""
        self.is_unknown = offer.direction == "out" and not self.answered_by and not past.turns
        """Whether the call begins by finding out."""
        self._answering: Answering | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether what they say may still tell, or their machine's beep is to come."""
        return self._answering is not None

    def listen(self) -> None:
        """They have answered: find out who they are."""
        self._answering = Answering(self._rate_hz)

    def hear(self, frame: bytes, speaking: bool) -> Verdict | None:
        """A frame of theirs, and whether it is speech; the verdict when there is one."""
        if self._answering is None or (verdict := self._answering.feed(frame, speaking)) is None:
            return None
        self.answered_by = f"{verdict.who}:{verdict.sign}"
        if verdict.who == "human" or verdict.beep:
            self._answering = None
        return verdict
