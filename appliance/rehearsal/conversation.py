"""One caller's side of a conversation: what to say next, and what the agent's audio shows.

Pure: time is handed in as seconds of one monotonic clock. A frame handed out at t carries the
20 ms up to t, so its last sample is spoken at t; a frame of the agent's that arrives at t is
heard from t on.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

FRAME_S = 0.020
QUIET_S = 0.700
"""The caller takes the agent to have finished after so much quiet."""
STOPPED_S = 0.200
"""Quiet after which an interrupted agent has stopped; also what separates two pieces of speech."""
SILENT_AGENT_S = 3.0
"""An agent without a greeting is spoken to after this."""
UNANSWERED_S = 6.0
BARGE_IN_AFTER_S = 1.0
PAUSE_S = (0.3, 0.9)
"""How long a person thinks before speaking."""
_SILENT_PEAK = 50
"""Samples up to this (-56 dBFS) are silence: codecs and bridges dither digital zero."""


class State(Enum):
    """What the caller is doing."""

    RINGING = auto()
    LISTENING = auto()
    THINKING = auto()
    SPEAKING = auto()
    AWAITING = auto()


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to say: L16 in whole frames, its speech ending with the last one."""

    id: str
    frames: tuple[bytes, ...]
    barge_in: bool = False
    """Say it one second into the agent's reply to the line before."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A line that was said and what came of it."""

    line: str
    gap_ms: float | None
    """Last sample of the caller's speech to the first sound of the agent; None: no answer."""
    barge_in_ms: float | None
    """First sample of the caller's speech to the last sound of the interrupted agent."""
    talked_over: bool
    """The agent began to speak while the caller still spoke."""
    start_ms: float
    """When the line's first sample was spoken, from the moment the call was answered."""


@dataclass(slots=True)
class Spurt:
    """Sound with no silence of STOPPED_S or more in it: a phrase, or the whole of a reply."""

    begin_s: float
    end_s: float
    frames: int = 0
    """Frames that had sound in them."""


class Spurts:
    """What was heard on one line, spurt by spurt."""

    def __init__(self) -> None:
        self.all: list[Spurt] = []

    def add(self, first_s: float, last_s: float) -> bool:
        """One more frame, with sound between these two moments; True: a new spurt begins with it."""
        onset = not self.all or first_s - self.all[-1].end_s >= STOPPED_S
        if onset:
            self.all.append(Spurt(first_s, last_s))
        self.all[-1].end_s = last_s
        self.all[-1].frames += 1
        return onset


def lines_of(pcm_by_id: dict[str, bytes], frame_bytes: int) -> list[Line]:
    """Cut recordings into frames; what does not fill a frame is padded in front, not behind."""
    lines = []
    for id_, pcm in pcm_by_id.items():
        whole = bytes(-len(pcm) % frame_bytes) + pcm
        frames = tuple(whole[i : i + frame_bytes] for i in range(0, len(whole), frame_bytes))
        lines.append(Line(id_, frames))
    return lines


class Conversation:
    """Says one line after the other, for ever, and measures every exchange."""

    def __init__(self, lines: list[Line], frame_bytes: int, seed: int) -> None:
        """``lines`` are said in turn, beginning with number ``seed``, again from the first."""
        self._lines = lines
        self._silence = bytes(frame_bytes)
        self._rate_hz = frame_bytes / 2 / FRAME_S
        self._random = random.Random(seed)
        self._index = seed % len(lines)
        self._state = State.RINGING
        self._since_s = 0.0
        self._answered_s = 0.0
        self._frame = 0
        self._speech_start_s = 0.0
        self._speech_end_s = 0.0
        self._talked_over = False
        self._sound_begun_s: float | None = None
        self._sound_end_s = float("-inf")
        self._heard_since_s = False
        self._barging = False
        self._barge_end_s: float | None = None
        self._silent_frames = 0
        self.exchanges: list[Exchange] = []
        self._spurts = Spurts()
        self.holes = 0
        """Silences of 20-700 ms inside what the agent said."""

    @property
    def state(self) -> State:
        return self._state

    @property
    def spurts(self) -> list[Spurt]:
        """What the agent said, as it was heard."""
        return self._spurts.all

    def answered(self, at_s: float) -> None:
        """The call is up; the agent may greet."""
        self._answered_s = at_s
        self._enter(State.LISTENING, at_s)

    def next_frame(self, at_s: float) -> bytes:
        """The frame that is sent at ``at_s``; call it every 20 ms once the call is answered."""
        match self._state:
            case State.LISTENING:
                self._listen(at_s)
            case State.THINKING if at_s >= self._since_s:
                self._speak(at_s)
            case State.AWAITING if at_s - self._speech_end_s > UNANSWERED_S:
                self._note(None)
                self._think(at_s)
        return self._speech(at_s) if self._state is State.SPEAKING else self._silence

    def heard(self, pcm: bytes, at_s: float) -> None:
        """A frame of the agent's arrived at ``at_s``."""
        edges = sound_edges(pcm)
        if edges is None:
            self._silent_frames += 1
            return
        first_s, last_s = (at_s + edge / self._rate_hz for edge in edges)
        onset = self._spurts.add(first_s, last_s)
        if onset:
            self._sound_begun_s = first_s
        if self._silent_frames and first_s - self._sound_end_s < QUIET_S:
            self.holes += self._state is State.LISTENING
        self._silent_frames = 0
        if self._barging and not onset:
            self._barge_end_s = last_s
        self._sound_end_s = last_s
        self._heard_since_s = True
        if onset:
            self._onset(first_s, at_s)

    def _onset(self, first_s: float, at_s: float) -> None:
        match self._state:
            case State.AWAITING:
                self._note((first_s - self._speech_end_s) * 1000)
                self._enter(State.LISTENING, at_s)
                self._heard_since_s = True
            case State.SPEAKING:
                self._talked_over = True
                self._barging = False
            case State.THINKING:
                self._enter(State.LISTENING, at_s)
                self._heard_since_s = True

    def _listen(self, at_s: float) -> None:
        if self._lines[self._index].barge_in and self._may_barge_in(at_s):
            self._barging, self._barge_end_s = True, self._sound_end_s
            self._speak(at_s)
            return
        quiet_since_s = max(self._sound_end_s, self._since_s)
        enough_s = QUIET_S if self._heard_since_s else SILENT_AGENT_S
        if at_s - quiet_since_s >= enough_s:
            self._think(at_s)

    def _may_barge_in(self, at_s: float) -> bool:
        begun_s = self._sound_begun_s
        return (
            bool(self.exchanges)
            and begun_s is not None
            and at_s - begun_s >= BARGE_IN_AFTER_S
            and at_s - self._sound_end_s < 2 * FRAME_S
        )

    def _think(self, at_s: float) -> None:
        self._enter(State.THINKING, at_s + self._random.uniform(*PAUSE_S))

    def _speak(self, at_s: float) -> None:
        self._enter(State.SPEAKING, at_s)
        self._frame = 0
        self._speech_start_s = at_s - FRAME_S
        self._talked_over = False

    def _speech(self, at_s: float) -> bytes:
        frames = self._lines[self._index].frames
        frame = frames[self._frame]
        self._frame += 1
        if self._frame == len(frames):
            self._speech_end_s = at_s
            self._enter(State.AWAITING, at_s)
        return frame

    def _note(self, gap_ms: float | None) -> None:
        line = self._lines[self._index]
        barge_in_ms = None
        if line.barge_in and self._barge_end_s is not None:
            barge_in_ms = max(0.0, (self._barge_end_s - self._speech_start_s) * 1000)
        start_ms = (self._speech_start_s - self._answered_s) * 1000
        self.exchanges.append(Exchange(line.id, gap_ms, barge_in_ms, self._talked_over, start_ms))
        self._barging, self._barge_end_s = False, None
        self._index = (self._index + 1) % len(self._lines)

    def _enter(self, state: State, at_s: float) -> None:
        self._state, self._since_s = state, at_s
        self._heard_since_s = False


def sound_edges(pcm: bytes) -> tuple[int, int] | None:
    """First sample of sound in an L16 frame and the one after the last; None for silence."""
    if not pcm.strip(b"\0"):
        return None
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) > _SILENT_PEAK)
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else None
