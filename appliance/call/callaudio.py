"""The caller's last seconds of audio, and where they lie on the call's media clock."""

from __future__ import annotations

import numpy as np

from appliance.audio import bytes_of, level_db, ms_of, sound_spans

KEPT_MS = 10_000
"""For the turn judge (8 s), a recogniser's pre-roll, and to place the end of speech."""
SPEECH_FLOOR_DB = -42.0
"""Level that tells the end of speech from a line's noise."""
QUIET_MS = 40
BEFORE_MS, AFTER_MS = 600, 200
"""The end of speech is looked for this far around the detector's, which counts faint breath and
closures as speech; the rule is that of ops/demo/ear.py, so that both measure the same gap."""
CLOCK_DRIFT_MS = 0.02
"""Per frame: follows a caller's clock that is slower than ours by up to 1 ms a second."""


class CallAudio:
    """L16 of one caller, addressed by ms of audio received since the call began."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._kept = bytearray()
        self._offset_ms: float | None = None
        self.received_ms = 0

    def add(self, frame: bytes, clock_ms: int) -> None:
        """A frame that arrived when the media clock stood at ``clock_ms``."""
        self.received_ms += ms_of(len(frame), self._rate_hz)
        offset = float(clock_ms - self.received_ms)
        if self._offset_ms is None or offset < self._offset_ms:
            self._offset_ms = offset  # the frame least delayed tells where the audio truly lies
        else:
            self._offset_ms += CLOCK_DRIFT_MS
        self._kept += frame
        if len(self._kept) > bytes_of(KEPT_MS + 1000, self._rate_hz):
            del self._kept[: -bytes_of(KEPT_MS, self._rate_hz)]

    def since(self, ms: int) -> bytes:
        """The audio from ``ms`` to now, as far as it is kept."""
        length = bytes_of(max(0, self.received_ms - ms), self._rate_hz)
        return bytes(self._kept[-length:]) if length else b""

    def is_quiet(self) -> bool:
        """Whether the last 40 ms are silent: by level alone, some 60 ms sooner than the detector
        says so. Good enough to begin thinking, not to end a turn."""
        tail = np.frombuffer(self._kept[-bytes_of(QUIET_MS, self._rate_hz) :], "<i2")
        return level_db(tail) < SPEECH_FLOOR_DB

    def on_clock(self, ms: int) -> int:
        """Audio position ``ms`` on the call's media clock."""
        return round(ms + (self._offset_ms or 0))

    def speech_end(self, rough_ms: int) -> int:
        """The end of speech that the detector put at ``rough_ms`` (to a chunk of 32 ms), placed to
        10 ms by the level of the audio around it."""
        kept_ms = ms_of(len(self._kept), self._rate_hz)
        begin = max(rough_ms - BEFORE_MS, self.received_ms - kept_ms)
        around = self.since(begin)[: bytes_of(rough_ms + AFTER_MS - begin, self._rate_hz)]
        spans = sound_spans(around, self._rate_hz)
        if not spans or spans[-1][1] > ms_of(len(around), self._rate_hz) - AFTER_MS // 2:
            return rough_ms  # a noisy line: level cannot tell
        return begin + spans[-1][1]
