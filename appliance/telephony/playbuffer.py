"""The jitter buffer between the worker's 20 ms datagrams and the clock that plays them. Pure.

Time is counted in frames: one ``pop`` is 20 ms of the caller's clock.
"""

from __future__ import annotations

from collections import deque

import numpy as np

START_FRAMES = 2
"""Playing begins when this many wait, so the first late datagram is not heard."""
MAX_FRAMES = 5
"""Over it the oldest frames go (100 ms), silent ones first."""
SPARE_FRAMES = 1
"""What may stay waiting after a pop; more of it than this, all the time, is needless delay."""
WINDOW_FRAMES = 50
"""Delay is judged over 1 s, twice as long after each underrun, up to LONGEST_WINDOW_FRAMES."""
LONGEST_WINDOW_FRAMES = 3000
SILENCE_PEAK = 33
"""-60 dBFS: a frame below it can be left out unheard."""


class PlayBuffer:
    """Frames in as they come, one out each 20 ms, silence when there is none.

    It adapts: an underrun inserts a frame of silence (delay grows by 20 ms); when more frames have
    waited for a whole window than are needed, one silent frame is left out (delay shrinks).
    """

    def __init__(self, frame_bytes: int) -> None:
        self._silence = bytes(frame_bytes)
        self._frames: deque[bytes] = deque()
        self._playing = False
        self._window = WINDOW_FRAMES
        self._age = 0
        self._least = MAX_FRAMES
        self.underruns = 0
        """Times that the caller's clock found no frame after the first."""
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
        if not self._playing:
            if len(self._frames) < START_FRAMES:
                return self._silence
            self._playing = True
        if len(self._frames) > MAX_FRAMES:
            self._shorten()
        self._judge_delay()
        if self._frames:
            return self._frames.popleft()
        self.underruns += 1
        self._window = min(self._window * 2, LONGEST_WINDOW_FRAMES)
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
        self._least = min(self._least, len(self._frames) - 1)
        self._age += 1
        if self._age < self._window:
            return
        if self._least >= SPARE_FRAMES + 1 or (self._least >= SPARE_FRAMES and self.underruns == 0):
            if not self._is_silent(self._frames[0]):
                return  # wait for a silent one
            self._frames.popleft()
            self.dropped += 1
        self._age, self._least = 0, MAX_FRAMES

    def _is_silent(self, frame: bytes) -> bool:
        if frame == self._silence:
            return True
        samples = np.frombuffer(frame, "<i2")
        return int(samples.max()) < SILENCE_PEAK and int(samples.min()) > -SILENCE_PEAK
