"""What the caller hears: 20 ms frames, paced without drift, stopped within one frame.

One :class:`Pacer` a worker ticks every playout once in 20 ms, in four phases 5 ms apart, all counted
from one start, so that no delay ever adds up. A playout plays a queue of :class:`Utterance` objects,
which may still be growing, and digital silence when it has nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from appliance.audio import FRAME_MS, frame_bytes, ms_of

PHASES = 4
PHASE_S = FRAME_MS / 1000 / PHASES
LONGEST_CATCH_UP_S = 0.1
"""After a stall longer than this the rest is skipped: a burst of late sound helps nobody."""
LATE_S = 0.020
"""From when on a frame counts as late."""
RECENT_TICKS = 600
"""3 s with calls in all four phases."""
FEWEST_TICKS = 50

log = logging.getLogger(__name__)


class Utterance:
    """The audio of one reply (L16), written by whoever makes it and read by the playout."""

    def __init__(self, rate_hz: int) -> None:
        self._frame = frame_bytes(rate_hz)
        self._rate_hz = rate_hz
        self._audio = bytearray()
        self._read = 0
        self.closed = False

    def write(self, pcm: bytes) -> None:
        """Add audio at the end; without effect once the utterance is closed."""
        if not self.closed:
            self._audio += pcm

    def close(self) -> None:
        """No more audio will come; the last frame is filled up with silence."""
        self.closed = True

    def replace_rest(self, pcm: bytes) -> None:
        """Put ``pcm`` in place of all that has not been read, and close: a word said too much."""
        del self._audio[self._read :]
        self._audio += pcm
        self.closed = True

    @property
    def written_ms(self) -> int:
        """How much audio there is, played or not."""
        return ms_of(len(self._audio), self._rate_hz)

    @property
    def played_ms(self) -> int:
        """How much of it has been sent to the caller."""
        return ms_of(min(self._read, len(self._audio)), self._rate_hz)

    @property
    def finished(self) -> bool:
        """Closed, and played to the last sample."""
        return self.closed and self._read >= len(self._audio)

    def read(self) -> bytes | None:
        """The next whole frame, or None when it is not there (yet)."""
        end = self._read + self._frame
        if end > len(self._audio):
            if not self.closed or self._read >= len(self._audio):
                return None
            frame = bytes(self._audio[self._read :])
            self._read = end
            return frame + bytes(self._frame - len(frame))
        frame = bytes(self._audio[self._read : end])
        self._read = end
        return frame


class Playout:
    """The stream of frames towards one caller.

    ``send`` takes each frame, on the event loop. ``on_frame(frame_number, frame, utterance)`` is
    called after each with what was sent (utterance None for silence); ``on_played`` when the last
    queued utterance has been played to its last sample.
    """

    def __init__(
        self,
        rate_hz: int,
        send: Callable[[bytes], None],
        on_frame: Callable[[int, bytes, Utterance | None], None],
        on_played: Callable[[], None],
    ) -> None:
        self._silence = bytes(frame_bytes(rate_hz))
        self._send = send
        self._on_frame = on_frame
        self._on_played = on_played
        self._queue: deque[Utterance] = deque()
        self._held = False
        self.frames = 0
        """Frames sent since the call was answered: the media clock, in units of 20 ms."""
        self.late_frames = 0
        """Frames sent more than 20 ms after they were due."""
        self.underruns = 0
        """Frames of silence sent inside an utterance that was not ready in time."""

    @property
    def now_ms(self) -> int:
        """The call's media clock."""
        return self.frames * FRAME_MS

    def play(self, utterance: Utterance) -> None:
        """Queue an utterance behind what is being played."""
        self._queue.append(utterance)

    def play_first(self, utterance: Utterance) -> None:
        """Queue an utterance in front of one that has not begun."""
        self._queue.appendleft(utterance)

    def flush(self) -> None:
        """Forget everything queued; the next frame is silence. No ``on_played`` follows."""
        self._queue.clear()
        self._held = False

    def hold(self) -> None:
        """Stop after the frame just sent, and keep the rest."""
        self._held = True

    def carry_on(self) -> None:
        """Go on where :meth:`hold` stopped."""
        self._held = False

    def tick(self, late: bool = False) -> None:
        """Send the frame that is due now."""
        frame, utterance = self._next()
        self._send(frame)
        self.frames += 1
        self.late_frames += late
        self._on_frame(self.frames, frame, utterance)
        if utterance is not None and utterance.finished and utterance in self._queue:
            self._queue.remove(utterance)  # unless on_frame has flushed it
            if not self._queue:
                self._on_played()

    def skip(self, frames: int) -> None:
        """Let the media clock pass over frames that a stall made too late to be sent."""
        self.frames += frames
        self.late_frames += frames

    def _next(self) -> tuple[bytes, Utterance | None]:
        if self._held or not self._queue:
            return self._silence, None
        utterance = self._queue[0]
        frame = utterance.read()
        if frame is not None:
            return frame, utterance
        if utterance.finished:  # closed with nothing left to play: report it, in silence
            return self._silence, utterance
        if utterance.played_ms:
            self.underruns += 1
        return self._silence, None


class Pacer:
    """Ticks every playout of a worker exactly once in 20 ms, from one timer.

    The times of all ticks are multiples of 5 ms from one start, so that a late wake-up delays its
    own frames and none after them.
    """

    def __init__(self) -> None:
        self._phases: list[set[Playout]] = [set() for _ in range(PHASES)]
        self._busy = asyncio.Event()
        """Set while there is a playout to tick."""
        self._late_s: deque[float] = deque(maxlen=RECENT_TICKS)
        self._ended = (0, 0, 0)
        """(frames, late frames, underruns) of calls that are over."""

    def totals(self) -> tuple[int, int, int]:
        """Of all calls since the start: frames, those that were late, and underruns."""
        live = (playout for phase in self._phases for playout in phase)
        frames, late, underruns = self._ended
        for playout in live:
            frames += playout.frames
            late += playout.late_frames
            underruns += playout.underruns
        return frames, late, underruns

    def recent_late_s(self, quantile: float = 0.95) -> float | None:
        """How late the frames of the last seconds went out, at ``quantile``; None without calls."""
        if not any(self._phases) or len(self._late_s) < FEWEST_TICKS:
            return None
        return sorted(self._late_s)[int(quantile * (len(self._late_s) - 1))]

    def add(self, playout: Playout) -> None:
        """Start ticking; calls are spread over the phases so that their frames do not bunch."""
        min(self._phases, key=len).add(playout)
        self._busy.set()

    def remove(self, playout: Playout) -> None:
        """Stop ticking."""
        if any(playout in phase for phase in self._phases):
            counted = (playout.frames, playout.late_frames, playout.underruns)
            frames, late, underruns = map(sum, zip(self._ended, counted, strict=True))
            self._ended = (frames, late, underruns)
        for phase in self._phases:
            phase.discard(playout)
        if not any(self._phases):
            self._busy.clear()

    async def run(self) -> None:
        """Tick until cancelled."""
        loop = asyncio.get_running_loop()
        start, number = loop.time(), 0
        while True:
            if not self._busy.is_set():
                await self._busy.wait()
                start, number = loop.time(), 0
            number += 1
            if not self._phases[number % PHASES]:
                continue  # nobody's turn: no wake-up for it
            due = start + number * PHASE_S
            if (delay := due - loop.time()) > 0:
                await asyncio.sleep(delay)
            late_s = loop.time() - due
            self._late_s.append(late_s)
            if late_s > LONGEST_CATCH_UP_S:
                rounds = int(late_s / (PHASES * PHASE_S))
                self._skip(rounds)
                number += rounds * PHASES
                late_s = LATE_S
            for playout in list(self._phases[number % PHASES]):
                playout.tick(late=late_s >= LATE_S)

    def _skip(self, frames: int) -> None:
        log.warning("! the worker stood still: %d ms of sound skipped", frames * FRAME_MS)
        for phase in self._phases:
            for playout in phase:
                playout.skip(frames)
