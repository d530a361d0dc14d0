"""What an external bot says: its audio in the playout, its marks, and how far ahead it may be.

A bot sends faster than it is heard. What is ahead waits here, whole frames only, so that a bot that
pauses in mid-frame is heard to its last sample and nothing is padded in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from appliance.audio import FRAME_MS, double_rate, frame_bytes, ulaw_decode
from appliance.media.playout import Playout, Utterance
from appliance.media.twilio import RATE_HZ

MOST_AHEAD_MS = 60_000
"""More than this not yet played is dropped: a bot that does not heed its pace would fill memory."""
PIECE_MS = 10_000
"""An utterance keeps its audio until it has been played; a bot may send without a pause for hours."""
MOST_MARKS = 1000
"""Waiting to be played; more are echoed at once."""


class BotVoice:
    """The bot's side of one call's playout."""

    def __init__(self, rate_hz: int, playout: Playout, played: Callable[[str], None]) -> None:
        """``played(name)``: what was sent before the mark ``name`` has been played or cleared."""
        self._rate_hz = rate_hz
        self._playout = playout
        self._played = played
        self._frame = frame_bytes(rate_hz)
        self._pieces: deque[Utterance] = deque()
        self._rest = b""
        self._marks: deque[tuple[int, str]] = deque()
        self._open = False
        self._queued_frames = 0
        self._played_frames = 0
        self.dropped_ms = 0
        """Audio that was too far ahead."""

    def begin(self) -> None:
        """The caller can hear from now on; what has come before is played first."""
        self._open = True
        for piece in self._pieces:
            self._playout.play(piece)

    def end(self) -> None:
        """Forget everything, and say no more: the playout is somebody else's from now on."""
        self.clear()
        self._open = False

    @property
    def ahead_ms(self) -> int:
        """How much waits to be played."""
        return (self._queued_frames - self._played_frames) * FRAME_MS

    @property
    def is_played(self) -> bool:
        """Whether everything sent so far has been played."""
        return not self._rest and self._queued_frames == self._played_frames

    def say(self, ulaw: bytes) -> None:
        """Queue µ-law at 8 kHz; what is more than a minute ahead is dropped."""
        room = (MOST_AHEAD_MS - self.ahead_ms) * RATE_HZ // 1000
        self.dropped_ms += max(0, len(ulaw) - room) * 1000 // RATE_HZ
        pcm = ulaw_decode(ulaw[: max(0, room)])
        if self._rate_hz != RATE_HZ:
            pcm = double_rate(np.frombuffer(pcm, "<i2")).tobytes()
        audio = self._rest + pcm
        whole = len(audio) - len(audio) % self._frame
        self._rest = audio[whole:]
        self._queue(audio[:whole])

    def mark(self, name: str) -> None:
        """Tell when everything sent so far has been played."""
        if self.is_played or len(self._marks) >= MOST_MARKS:
            self._played(name)
        else:
            self._marks.append((self._queued_frames + bool(self._rest), name))

    def clear(self) -> None:
        """Forget what is not played; its marks are told of at once."""
        if self._open:
            self._playout.flush()
        self._pieces.clear()
        self._rest = b""
        self._played_frames = self._queued_frames
        self._tell_marks()

    def on_frame(self, utterance: Utterance | None) -> None:
        """A frame was sent to the caller; ``utterance`` is whose it was, None for silence."""
        if self._pieces and utterance is self._pieces[0]:
            self._played_frames += 1
            if utterance.finished:
                self._pieces.popleft()
            self._tell_marks()
        if self._open and self._played_frames == self._queued_frames:
            self._rest_or_stop()

    def _rest_or_stop(self) -> None:
        """All whole frames are played: what is left of one is filled up, as no more may come."""
        if self._rest:
            tail, self._rest = self._rest, b""
            self._queue(tail + bytes(self._frame - len(tail)))
        elif self._pieces:
            self._pieces[0].close()
            self._pieces.clear()
            self._playout.flush()

    def _queue(self, pcm: bytes) -> None:
        if not pcm:
            return
        if not self._pieces or self._pieces[-1].written_ms >= PIECE_MS:
            if self._pieces:
                self._pieces[-1].close()
            piece = Utterance(self._rate_hz)
            self._pieces.append(piece)
            if self._open:
                self._playout.play(piece)
        self._pieces[-1].write(pcm)
        self._queued_frames += len(pcm) // self._frame

    def _tell_marks(self) -> None:
        while self._marks and self._marks[0][0] <= self._played_frames:
            self._played(self._marks.popleft()[1])
