"""PCM as the whole appliance uses it: L16, mono, little-endian, in 20 ms frames.

Samples are signed 16 bit (``<i2``). A rate is 8 000 Hz (G.711) or 16 000 Hz (G.722).
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FRAME_MS = 20
"""The packet time of G.711 on every trunk, and of mod_audio_stream's messages."""

BYTES_PER_SAMPLE = 2
RATES_HZ = (8000, 16000)

Samples = NDArray[np.int16]


def frame_bytes(rate_hz: int) -> int:
    """Bytes of one 20 ms L16 frame: 320 at 8 kHz, 640 at 16 kHz."""
    return rate_hz * FRAME_MS // 1000 * BYTES_PER_SAMPLE


def ms_of(n_bytes: int, rate_hz: int) -> int:
    """Length in ms of ``n_bytes`` of L16 audio."""
    return n_bytes * 1000 // (rate_hz * BYTES_PER_SAMPLE)


def bytes_of(ms: int, rate_hz: int) -> int:
    """Bytes of ``ms`` of L16 audio, always a whole number of samples."""
    return ms * rate_hz // 1000 * BYTES_PER_SAMPLE


def silence(ms: int, rate_hz: int) -> bytes:
    """``ms`` of digital silence."""
    return bytes(bytes_of(ms, rate_hz))


def _ulaw_table() -> Samples:
    """ITU-T G.711 µ-law, all 256 codes decoded."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return np.where(code & 0x80, 0x84 - magnitude, magnitude - 0x84).astype(np.int16)


_ULAW_DECODE = _ulaw_table()


def _encode_table(decode: Samples) -> NDArray[np.uint8]:
    """For every 16 bit sample, the code whose decoded value lies nearest to it."""
    order = np.argsort(decode, kind="stable")
    values = decode[order].astype(np.int32)
    middles = (values[1:] + values[:-1]) // 2
    return order[np.searchsorted(middles, np.arange(-32768, 32768), side="left")].astype(np.uint8)


_ULAW_ENCODE = _encode_table(_ULAW_DECODE)


def ulaw_decode(payload: bytes) -> bytes:
    """G.711 µ-law to L16."""
    return _ULAW_DECODE[np.frombuffer(payload, np.uint8)].tobytes()


def ulaw_encode(pcm: bytes) -> bytes:
    """L16 to G.711 µ-law."""
    return _ULAW_ENCODE[np.frombuffer(pcm, "<i2").astype(np.int32) + 32768].tobytes()


def halve_rate(samples: Samples) -> Samples:
    """16 kHz to 8 kHz with a 3-tap half-band filter (delay: one input sample)."""
    wide = samples.astype(np.int32)
    before = np.concatenate((wide[:1], wide[:-1]))
    after = np.concatenate((wide[1:], wide[-1:]))
    return ((before + 2 * wide + after) >> 2)[::2].astype(np.int16)


def double_rate(samples: Samples) -> Samples:
    """8 kHz to 16 kHz by linear interpolation.

    Enough for a recogniser or a VAD model: the image above 4 kHz that it leaves measured no
    difference in word error rate against a sharp filter.
    """
    wide = samples.astype(np.int32)
    out = np.empty(len(wide) * 2, np.int16)
    out[::2] = wide
    out[1::2] = (wide + np.concatenate((wide[1:], wide[-1:]))) >> 1
    return out


def level_db(samples: Samples) -> float:
    """RMS level in dBFS; -100 for digital silence."""
    if len(samples) == 0:
        return -100.0
    rms = float(np.sqrt(np.mean(samples.astype(np.float32) ** 2)))
    return max(-100.0, 20 * float(np.log10(max(rms, 1e-3) / 32768)))


def sound_spans(
    pcm: bytes, rate_hz: int, *, floor_db: float = -45.0, bridge_ms: int = 300, window_ms: int = 10
) -> list[tuple[int, int]]:
    """Where a recording is not silent: ``[(start_ms, end_ms), …]``, by level alone.

    Windows of ``window_ms`` louder than ``floor_db`` (dBFS) count as sound; spans closer than
    ``bridge_ms`` are one. This is the arbiter of every gap we publish: it knows nothing of the
    pipeline, only what stands in the waveform.
    """
    n = rate_hz * window_ms // 1000
    samples = np.frombuffer(pcm, "<i2")
    windows = samples[: len(samples) // n * n].reshape(-1, n).astype(np.float32)
    loud = np.sqrt(np.mean(windows**2, axis=1)) > 32768 * 10 ** (floor_db / 20)
    spans: list[tuple[int, int]] = []
    for index in np.flatnonzero(loud):
        start, end = int(index) * window_ms, (int(index) + 1) * window_ms
        if spans and start - spans[-1][1] < bridge_ms:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def write_wav(path: Path, channels: list[bytes], rate_hz: int) -> None:
    """Write L16 ``channels`` (equal length) as one interleaved WAV file."""
    length = max(len(c) for c in channels) // BYTES_PER_SAMPLE
    frames = np.zeros((length, len(channels)), "<i2")
    for i, channel in enumerate(channels):
        samples = np.frombuffer(channel, "<i2")
        frames[: len(samples), i] = samples
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(BYTES_PER_SAMPLE)
        file.setframerate(rate_hz)
        file.writeframes(frames.tobytes())


def read_wav(path: Path) -> tuple[list[bytes], int]:
    """Read a 16 bit WAV file: its channels as L16, and its rate in Hz."""
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != BYTES_PER_SAMPLE:
            raise ValueError(f"{path} is not 16 bit PCM")
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        frames = raw.reshape(-1, file.getnchannels())
        return [frames[:, i].tobytes() for i in range(frames.shape[1])], file.getframerate()
