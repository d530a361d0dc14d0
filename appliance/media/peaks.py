"""What a waveform shows of a recording: the lowest and highest sample of each side, by buckets."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.media.beeps import NoWavError

MOST_BUCKETS = 4000
BLOCK_BYTES = 4_000_000
"""Read at once: an hour of 8 kHz stereo is 115 MB."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """``caller`` and ``agent``: low, high, low, high, … of each bucket, -127 to 127 of full scale.

    Of a mono file both are the same."""

    duration_ms: int
    from_ms: int
    to_ms: int
    caller: tuple[int, ...]
    agent: tuple[int, ...]


def read_peaks(
    path: Path,
    buckets: int,
    from_ms: int = 0,
    to_ms: int | None = None,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> Peaks:
    """The peaks of ``[from_ms, to_ms)`` of a 16-bit PCM WAV in so many buckets, or fewer where it has
    fewer samples. Blocks on the disk. Raises OSError; NoWavError."""
    try:
        with wave.open(str(path), "rb") as source:
            if source.getsampwidth() != 2 or not source.getframerate():
                raise NoWavError("it holds no 16-bit PCM")
            buckets = min(max(buckets, 1), MOST_BUCKETS)
            return _read(source, buckets, from_ms, to_ms, block_bytes)
    except (wave.Error, EOFError) as e:
        raise NoWavError(str(e) or "it ends in its header") from e


def _read(
    source: wave.Wave_read, buckets: int, from_ms: int, to_ms: int | None, block_bytes: int
) -> Peaks:
    rate_hz, total = source.getframerate(), source.getnframes()
    first = min(max(from_ms, 0) * rate_hz // 1000, total)
    last = total if to_ms is None else min(max(to_ms, 0) * rate_hz // 1000, total)
    count = max(last - first, 0)
    buckets = min(buckets, count)
    low = np.zeros((buckets, 2), np.int16)
    high = np.zeros((buckets, 2), np.int16)
    edges = np.linspace(0, count, buckets + 1).astype(np.int64)
    source.setpos(first)
    width = 2 * source.getnchannels()
    done = 0
    while done < buckets:
        # whole buckets, as many as make a block
        upto = int(np.searchsorted(edges, edges[done] + block_bytes // width, "right")) - 1
        upto = min(max(upto, done + 1), buckets)
        grid = _sides(source, int(edges[upto] - edges[done]))
        starts = edges[done:upto] - edges[done]
        starts = np.minimum(starts, max(len(grid) - 1, 0))
        if len(grid):
            low[done:upto] = np.minimum.reduceat(grid, starts)
            high[done:upto] = np.maximum.reduceat(grid, starts)
        done = upto
    duration_ms = total * 1000 // rate_hz
    end_ms = duration_ms if to_ms is None else min(max(to_ms, 0), duration_ms)
    caller, agent = (_interleaved(low[:, side], high[:, side]) for side in (0, 1))
    return Peaks(duration_ms, min(max(from_ms, 0), duration_ms), end_ms, caller, agent)


def _sides(source: wave.Wave_read, frames: int) -> NDArray[np.int16]:
    """(frames, 2): the first two channels; a mono file's one twice. Fewer rows at a file's end."""
    channels = source.getnchannels()
    samples = np.frombuffer(source.readframes(frames), "<i2")
    grid = samples[: len(samples) // channels * channels].reshape(-1, channels)
    return np.repeat(grid, 2, axis=1) if channels == 1 else grid[:, :2]


def _interleaved(low: NDArray[np.int16], high: NDArray[np.int16]) -> tuple[int, ...]:
    both = np.stack((low, high), axis=1).astype(np.int32) * 127 // 32768
    return tuple(int(value) for value in both.ravel())
