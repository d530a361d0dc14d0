"""Whether a call's line sounds, frame by frame, against its own noise: when did the sound end?

The floor of noise is the lowest level of the last second and a half (minimum statistics, after
Martin 2001: speech dips to the noise between words). It tells neither speech from music nor who
spoke: the worker's detector does. It only says early that there is nothing new to decode.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from appliance.audio import FRAME_MS, frame_bytes, level_db

FLOOR_MS = 1500
FLOOR_FRAMES = FLOOR_MS // FRAME_MS
MARGIN_DB = 9.0
"""Over the floor: sound."""
LEAST_SOUND_DB = -50.0
"""dBFS. A line is never so quiet that less than this is a voice."""
HIGHEST_FLOOR_DB = -42.0
"""dBFS. What is louder than this plus the margin is sound, however steady it is."""
QUIET_MS = 40
"""Without sound for so long: it has ended. The worker begins a reply as early."""


class Sound:
    """One call's line. Times are ms of the utterance under way."""

    def __init__(self, rate_hz: int) -> None:
        self._frame_bytes = frame_bytes(rate_hz)
        self._levels: deque[float] = deque(maxlen=FLOOR_FRAMES)
        self._rest = b""
        self.audio_ms = 0
        self.sound_ms = 0
        """How much of it was sound."""
        self.ended_ms = 0
        """Where the last sound so far ends; 0 when there was none."""
        self.loud_ms = 0
        """How much of it no quiet line is: what was said softly over loud noise counts too."""

    def start(self) -> None:
        """Begin an utterance; the line's noise is as it was."""
        self._rest = b""
        self.audio_ms = self.sound_ms = self.ended_ms = self.loud_ms = 0

    def feed(self, pcm: bytes) -> None:
        """L16 of any even length; what is less than a frame waits for more."""
        audio = self._rest + pcm
        whole = len(audio) - len(audio) % self._frame_bytes
        self._rest = audio[whole:]
        for at in range(0, whole, self._frame_bytes):
            self._frame(level_db(np.frombuffer(audio, "<i2", self._frame_bytes // 2, at)))

    @property
    def is_quiet(self) -> bool:
        """There was sound, and it has ended."""
        return self.quiet_ms >= QUIET_MS

    @property
    def quiet_ms(self) -> int:
        """Since the last sound; 0 when there was none."""
        return self.audio_ms - self.ended_ms if self.ended_ms else 0

    @property
    def floor_db(self) -> float:
        """Level of the noise, in dBFS."""
        return min(self._levels, default=HIGHEST_FLOOR_DB)

    def _frame(self, level: float) -> None:
        self._levels.append(level)
        self.audio_ms += FRAME_MS
        floor = min(self.floor_db, HIGHEST_FLOOR_DB)
        if level > LEAST_SOUND_DB:
            self.loud_ms += FRAME_MS
        if level > max(LEAST_SOUND_DB, floor + MARGIN_DB):
            self.sound_ms += FRAME_MS
            self.ended_ms = self.audio_ms
