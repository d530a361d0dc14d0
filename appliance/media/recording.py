"""Stereo recording of a call: caller left, agent right, on the call's media clock.

Frames are gathered on the event loop and written once a second by a thread that all calls of a
worker share; a full or dead disk costs the recording, never the call. The WAV header is brought up to
date with every write, so that a file is whole up to its last second whatever happens to the process.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import wave
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from appliance.audio import BYTES_PER_SAMPLE, FRAME_MS, bytes_of, frame_bytes
from appliance.events import Redaction
from appliance.media.beeps import Beep, NoWavError, beep

log = logging.getLogger(__name__)

BLOCK_FRAMES = 50
"""Frames of the agent's channel between two writes: one second."""
CALLER_SLACK_MS = 200
"""How far the caller's frames may come late and still stand where they belong."""
REBASE_MS = 60
"""A caller frame this far off its place (loss, a stall) moves those after it to the clock."""
CLOSE_TIMEOUT_S = 10
QUEUE_BLOCKS = 1000
"""Blocks waiting for the disk; when full, blocks are dropped and the drop is logged."""


class DiskWriter:
    """The thread that all recordings of a worker write through."""

    def __init__(self) -> None:
        self._blocks: queue.Queue[tuple[Recording, bytes] | None] = queue.Queue(QUEUE_BLOCKS)
        self.lost = 0
        """Blocks that were dropped, of all recordings."""
        self._thread = threading.Thread(target=self._run, name="recordings", daemon=True)
        self._thread.start()

    def put(self, recording: Recording, block: bytes) -> bool:
        """Queue a block (empty: the recording is over); False when the disk cannot keep up."""
        try:
            self._blocks.put_nowait((recording, block))
        except queue.Full:
            self.lost += 1
            return False
        return True

    @property
    def waiting(self) -> int:
        """Blocks not yet on the disk."""
        return self._blocks.qsize()

    def close(self) -> None:
        """Write what is queued, and stop; a disk that hangs is left behind."""
        with suppress(queue.Full):
            self._blocks.put(None, timeout=CLOSE_TIMEOUT_S)
        self._thread.join(timeout=CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while (item := self._blocks.get()) is not None:
            recording, block = item
            try:
                recording.write(block)
            except Exception:  # the border of a job: the other calls' recordings go on
                log.exception("! %s could not be written", recording.path.name)


class Recording:
    """One call's file. ``caller`` and ``agent`` are called on the event loop, once a frame."""

    def __init__(self, path: Path, rate_hz: int, disk: DiskWriter) -> None:
        self.path = path
        self._rate_hz = rate_hz
        self._disk = disk
        self._disk_file: BinaryIO | None = None
        self._wave: wave.Wave_write | None = None
        self._broken = False
        self._channels = {"caller": bytearray(), "agent": bytearray()}
        self._written_ms = 0
        self._caller_ms: int | None = None
        self._blocks_dropped = 0
        self._beeps: list[Beep] = []

    def redact(self, span: Redaction) -> None:
        """When the call is over, put a tone over this span, so that nobody hears it."""
        column = list(self._channels).index(span.side)
        self._beeps.append(Beep(column, span.begin_ms, span.end_ms))

    def caller(self, frame: bytes, now_ms: int) -> None:
        """A frame that came from the caller when the media clock stood at ``now_ms``."""
        begin = now_ms - FRAME_MS
        if self._caller_ms is None or abs(begin - self._caller_ms) > REBASE_MS:
            self._caller_ms = max(begin, 0)
        channel = self._channels["caller"]
        at = bytes_of(self._caller_ms - self._written_ms, self._rate_hz)
        self._caller_ms += FRAME_MS
        if at < 0:
            return  # later than the slack: its place has been written as silence
        if at > len(channel):
            channel += bytes(at - len(channel))
        channel[at : at + len(frame)] = frame

    def agent(self, frame: bytes, now_ms: int) -> None:
        """The frame just sent to the caller, which ends at ``now_ms`` of the media clock."""
        channel = self._channels["agent"]
        begin = bytes_of(now_ms - FRAME_MS - self._written_ms, self._rate_hz)
        if begin > len(channel):  # frames that a stall made too late to be sent
            channel += bytes(begin - len(channel))
        channel += frame
        slack = bytes_of(CALLER_SLACK_MS, self._rate_hz)
        if len(channel) >= BLOCK_FRAMES * frame_bytes(self._rate_hz) + slack:
            self._put(len(channel) - slack)

    def close(self) -> None:
        """Write the rest and finish the file (on the writer's thread)."""
        self._put(max(len(c) for c in self._channels.values()))
        if not self._disk.put(self, b""):
            log.warning("! the disk is too slow: %s was not finished", self.path.name)

    def write(self, block: bytes) -> None:
        """On the writer's thread: append interleaved audio, or finish the file."""
        if self._broken:
            return
        try:
            if self._wave is None or self._disk_file is None:
                self._wave, self._disk_file = self._open()
            if block:
                self._wave.writeframes(block)  # brings the header up to date as well
                self._disk_file.flush()  # or a killed process would leave less than it says
            else:
                self._wave.close()
                self._disk_file.close()
                self._beep()
        except OSError as e:
            self._broken = True
            log.error("! recording %s stops: %s", self.path.name, e)
            for file in (self._wave, self._disk_file):
                with suppress(OSError):
                    if file is not None:
                        file.close()

    def _beep(self) -> None:
        """On the writer's thread. What fails here, or was never reached because the process was
        killed, ``privacy/beeping.py`` does later."""
        if self._beeps:
            try:
                beep(self.path, self._beeps)
            except (OSError, NoWavError) as e:
                log.error("! recording %s is not redacted yet: %s", self.path.name, e)

    def _open(self) -> tuple[wave.Wave_write, BinaryIO]:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = open(self.path, "xb", opener=_private)  # never over a call that was
        wav = wave.open(file, "wb")
        wav.setnchannels(2)
        wav.setsampwidth(BYTES_PER_SAMPLE)
        wav.setframerate(self._rate_hz)
        return wav, file

    def _put(self, length: int) -> None:
        stereo = np.zeros((length // BYTES_PER_SAMPLE, 2), "<i2")
        for column, channel in enumerate(self._channels.values()):
            samples = np.frombuffer(bytes(channel[:length]), "<i2")
            stereo[: len(samples), column] = samples
            del channel[:length]
        self._written_ms += length * 1000 // (BYTES_PER_SAMPLE * self._rate_hz)
        if not self._disk.put(self, stereo.tobytes()):
            self._blocks_dropped += 1
            if self._blocks_dropped == 1:
                log.warning("! the disk is too slow: %s has a hole", self.path.name)


def _private(path: str, flags: int) -> int:
    """Opens a file that we alone may read: it holds what callers say."""
    return os.open(path, flags, 0o600)
