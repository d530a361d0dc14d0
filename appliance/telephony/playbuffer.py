"""The jitter buffer between the worker's 20 ms datagrams and the clock that plays them. Pure.

Time is counted in frames: one ``pop`` is 20 ms of the caller's clock.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

import numpy as np

START_FRAMES = 2
"""Playing begins when this many wait, so the first late datagram is not heard."""
MAX_FRAMES = 5
"""Over it the oldest frames go (100 ms), silent ones first."""
SPARE_FRAMES = 2
"""So many frames left after every pop for WINDOW_FRAMES are needless delay: a silent one goes."""
WINDOW_FRAMES = 50
LONGEST_WINDOW_FRAMES = 3000
"""The last spare frame goes as well after a window without need of it: 1 s at first, twice as long
after each underrun, up to 1 min."""
SILENCE_PEAK = 33
"""-60 dBFS: a frame below it can be left out unheard."""


class _State(Enum):
    FILLING = auto()
    """Nothing was played yet."""
    PLAYING = auto()
    STARVED = auto()
    """The last pop found nothing."""


class PlayBuffer:
    """Frames in as they come, one out each 20 ms, silence when there is none.

    It adapts: an underrun inserts a frame of silence (delay grows by 20 ms); when more frames wait
    than are needed, for a while, one silent frame is left out (delay shrinks by 20 ms).
    """

    def __init__(self, frame_bytes: int) -> None:
        self._silence = bytes(frame_bytes)
        self._frames: deque[bytes] = deque()
        self._state = _State.FILLING
        self._spare_run = 0
        self._last_spare_run = 0
        self._patience = WINDOW_FRAMES
        self.underruns = 0
        """Frames that were not there when the caller's clock asked, after the first."""
        self.dropped = 0
        """Frames that were left out unheard or, after a hiccup, heard."""
        self.wrong_size = 0

    @property
    def waiting(self) -> int:
        """Frames not yet played."""
        return len(self._frames)

    def push(self, frame: bytes) -> None:
        """A datagram as it came; one of another size than 20 ms is counted and dropped."""
        if len(frame) == len(self._silence):
            self._frames.append(frame)
        else:
            self.wrong_size += 1

    def pop(self) -> bytes:
        """The next 20 ms for the caller."""
        if self._state is _State.FILLING:
            if len(self._frames) < START_FRAMES:
                return self._silence
            self._state = _State.PLAYING
        if len(self._frames) > MAX_FRAMES:
            self._shorten()
        self._judge_delay()
        if self._frames:
            self._state = _State.PLAYING
            return self._frames.popleft()
        self.underruns += 1
        if self._state is _State.PLAYING:  # one hiccup, however many frames long
            self._state = _State.STARVED
            self._patience = min(self._patience * 2, LONGEST_WINDOW_FRAMES)
        return self._silence

    def _shorten(self) -> None:
        """After a hiccup: back to MAX_FRAMES, leaving out silent frames before audible ones."""
        excess = len(self._frames) - MAX_FRAMES
        kept: deque[bytes] = deque()
        while self._frames:
            frame = self._frames.popleft()
            if excess and self._is_silent(frame):
                excess -= 1
                self.dropped += 1
            else:
                kept.append(frame)
        for _ in range(excess):
            kept.popleft()
            self.dropped += 1
        self._frames = kept

    def _judge_delay(self) -> None:
        spare = len(self._frames) - 1
        self._spare_run = self._spare_run + 1 if spare >= SPARE_FRAMES else 0
        self._last_spare_run = self._last_spare_run + 1 if spare >= 1 else 0
        needless = self._spare_run >= WINDOW_FRAMES or self._last_spare_run >= self._patience
        if needless and self._is_silent(self._frames[0]):
            self._frames.popleft()
            self.dropped += 1
            self._spare_run = self._last_spare_run = 0

    def _is_silent(self, frame: bytes) -> bool:
        if frame == self._silence:
            return True
        samples = np.frombuffer(frame, "<i2")
        return int(samples.max()) < SILENCE_PEAK and int(samples.min()) > -SILENCE_PEAK
