"""When each stage of the turn under way happened, and the row that comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from appliance.audio import FRAME_MS
from appliance.call.reply import Reply
from appliance.events import Stages, Turn
from appliance.safety.grounding import cited

AUDIBLE = 300
"""Sample value (of 32 768; -41 dBFS) from which a frame counts as sound."""


def first_sound_ms(frame: bytes) -> int | None:
    """Where in a 20 ms L16 frame the sound begins, in ms; None for a silent frame."""
    samples = np.abs(np.frombuffer(frame, "<i2").astype(np.int32))
    loud = np.flatnonzero(samples > AUDIBLE)
    return int(loud[0]) * FRAME_MS // len(samples) if len(loud) else None


@dataclass
class Timeline:
    """Marks of one turn, ms on the call's media clock; each is set once."""

    speech_start: int | None = None
    speech_end: int | None = None
    first_partial: int | None = None
    final: int | None = None
    turn_given: int | None = None
    first_frame: int | None = None
    first_sound: int | None = None
    dropped: int = 0
    kept: bool = False

    @property
    def gap_ms(self) -> int | None:
        """End of the caller's speech to the first sound of the reply, from the call's audio."""
        if self.speech_end is None or self.first_sound is None:
            return None
        return self.first_sound - self.speech_end

    def trace(self, reply: Reply) -> str:
        """One log line of the turn: every stage in ms from the end of the caller's speech."""
        zero = self.speech_end
        marks = {
            "partial": self.first_partial,
            "begun": reply.begun_ms,
            "passages": reply.retrieval_ms,
            "final": self.final,
            "token": reply.first_token_ms,
            "phrase": reply.first_phrase_ms,
            "given": self.turn_given,
            "audio": reply.first_audio_ms,
            "written": reply.last_token_ms,
            "spoken": reply.last_audio_ms,
            "frame": self.first_frame,
            "sound": self.first_sound,
        }
        if zero is None:
            return ""
        return " ".join(f"{name} {at - zero:+d}" for name, at in marks.items() if at is not None)

    def row(self, call_id: str, index: int, reply: Reply, barged_in: bool) -> Turn:
        """The turn that ``reply`` ended, as the journal keeps it."""
        return Turn(
            call_id=call_id,
            index=index,
            at=datetime.now(UTC),
            said=reply.said,
            reply=reply.text.rstrip(),  # a marker taken from its end leaves a space
            heard=reply.heard,
            source=reply.source,
            stages=self._stages(reply),
            gap_ms=self.gap_ms,
            passages=cited(reply.text, reply.passages),
            barged_in=barged_in,
            kept_speculation=self.kept,
            failure=reply.failure,
        )

    def _stages(self, reply: Reply) -> Stages:
        return Stages(
            speech_start=self.speech_start,
            speech_end=self.speech_end,
            first_partial=self.first_partial,
            speculation=reply.begun_ms,
            speculations_dropped=self.dropped,
            final=self.final,
            turn_given=self.turn_given,
            retrieval=reply.retrieval_ms,
            first_token=reply.first_token_ms,
            first_phrase=reply.first_phrase_ms,
            first_audio=reply.first_audio_ms,
            first_frame=self.first_frame,
            last_token=reply.last_token_ms,
            last_audio=reply.last_audio_ms,
            held=reply.held_ms,
        )
