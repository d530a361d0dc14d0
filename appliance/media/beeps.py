"""A tone over what nobody may hear: spans of one channel of a WAV, overwritten in place.

Only the samples of those spans are written, and each gets a value that depends on its place alone. So
a run that was cut off is finished by running it again, and a second run changes nothing.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TONE_HZ = 1000
LEVEL_DB = -20.0
"""Of full scale."""
BLOCK_MS = 10_000
"""Written at once."""
_RIFF = struct.Struct("<4sI4s")
_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
_PCM, _EXTENSIBLE = 1, 0xFFFE
_AFTER_SAMPLES = (b"LIST", b"id3 ", b"bext", b"fact")


class NoWavError(Exception):
    """The file is no 16-bit PCM WAV; the message says why."""


@dataclass(frozen=True, slots=True)
class Beep:
    """``[begin_ms, end_ms)`` of channel ``channel`` (0 left, the caller; 1 right, the agent)."""

    channel: int
    begin_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class _Samples:
    """Where the samples of a WAV lie, and their form."""

    offset: int
    frames: int
    channels: int
    rate_hz: int


def beep(path: Path, beeps: Sequence[Beep]) -> int:
    """Overwrite ``beeps`` in the file, and wait for the disk; returns how many ms were overwritten.

    What lies behind the end of the file is left out. A mono file is overwritten whoever spoke.
    Raises OSError; NoWavError for what is no 16-bit PCM WAV.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        samples = _samples(descriptor)
        written = sum(_overwrite(descriptor, samples, begin, end, channel)
                      for channel, begin, end in _spans(samples, beeps))  # fmt: skip
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return written * 1000 // samples.rate_hz


def _spans(samples: _Samples, beeps: Iterable[Beep]) -> list[tuple[int, int, int]]:
    """(channel, first, last frame) of what lies in the file, overlapping ones joined."""
    found: list[tuple[int, int, int]] = []
    for one in sorted(beeps, key=lambda b: (b.channel, b.begin_ms)):
        channel = min(one.channel, samples.channels - 1)
        begin = max(0, one.begin_ms * samples.rate_hz // 1000)
        end = min(samples.frames, -(-one.end_ms * samples.rate_hz // 1000))
        if begin >= end:
            continue
        if found and found[-1][0] == channel and begin <= found[-1][2]:
            found[-1] = (channel, found[-1][1], max(end, found[-1][2]))
        else:
            found.append((channel, begin, end))
    return found


def _overwrite(descriptor: int, samples: _Samples, begin: int, end: int, channel: int) -> int:
    block = BLOCK_MS * samples.rate_hz // 1000
    width = 2 * samples.channels
    for first in range(begin, end, block):
        last = min(first + block, end)
        at = samples.offset + first * width
        audio = np.frombuffer(os.pread(descriptor, (last - first) * width, at), "<i2").copy()
        audio = audio[: len(audio) // samples.channels * samples.channels]
        grid = audio.reshape(-1, samples.channels)
        grid[:, channel] = _tone(first, len(grid), samples.rate_hz)
        _write_all(descriptor, grid.tobytes(), at)
    return end - begin


def _tone(first: int, count: int, rate_hz: int) -> NDArray[np.int16]:
    """Samples ``first`` … of a tone that began with the file: the same at every run."""
    level = 32767 * 10 ** (LEVEL_DB / 20) * np.sqrt(2)
    at = np.arange(first, first + count, dtype=np.float64)
    tone: NDArray[np.int16] = (level * np.sin(2 * np.pi * TONE_HZ * at / rate_hz)).astype(np.int16)
    return tone


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _samples(descriptor: int) -> _Samples:
    """Finds the samples; a header that was not brought up to date gives way to the file's size."""
    size = os.fstat(descriptor).st_size
    riff = os.pread(descriptor, _RIFF.size, 0)
    if len(riff) < _RIFF.size or (riff[:4], riff[8:]) != (b"RIFF", b"WAVE"):
        raise NoWavError("it does not begin like a WAV")
    at, form = _RIFF.size, None
    while at + _CHUNK.size <= size:
        name, length = _CHUNK.unpack(os.pread(descriptor, _CHUNK.size, at))
        at += _CHUNK.size
        if name == b"fmt ":
            form = _FORMAT.unpack(os.pread(descriptor, _FORMAT.size, at))
        elif name == b"data":
            if form is None or form[0] not in (_PCM, _EXTENSIBLE) or form[5] != 16 or not form[1]:
                raise NoWavError("it holds no 16-bit PCM")
            # of a file whose writer was killed the header may say 0, or less than there is
            more = os.pread(descriptor, 4, at + length) in _AFTER_SAMPLES
            frames = (length if more else size - at) // (2 * form[1])
            return _Samples(at, frames, form[1], form[2])
        at += length + length % 2
    raise NoWavError("it holds no samples")
