"""Makes an engine's raw voice fit for a call, while it streams: rate, level, and silence trimmed.

Nothing here waits for audio that it does not need: the resampler's filter looks 1 ms ahead and
its delay is taken out, and silence is held back only until it is known to be inside the phrase.
"""

from __future__ import annotations

import math
from math import gcd

import numpy as np
from numpy.typing import NDArray

from appliance.audio import Samples

SPEECH_DB = -20.0
"""Active speech level of every voice, dBFS: 6 dB above ITU-T's nominal -26, as prompts are."""
LEAD_MS = 20
TAIL_MS = 120
SILENCE_DB = -50.0
WINDOW_MS = 5
_HALF_TAPS = 16
"""Zero crossings of the sinc on each side: flat to 0.85 of the lower Nyquist frequency."""

Wave = NDArray[np.float32]
_EMPTY = np.zeros(0, np.float32)


def active_db(wave: Wave, rate_hz: int) -> float:
    """Level of what is speech in ``wave``, dBFS: of the 10 ms windows within 30 dB of the loudest
    (the idea of ITU-T P.56, without its filters). Minus infinity for silence.
    """
    window = rate_hz // 100
    windows = wave[: len(wave) // window * window].reshape(-1, window)
    power = np.mean(windows**2, axis=1) if len(windows) else np.zeros(1)
    if power.max() <= 0:
        return -math.inf
    return float(10 * np.log10(power[power > power.max() / 1000].mean()))


class Resampler:
    """Streaming rate conversion by a windowed sinc, for any pair of rates; no leading delay."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        divisor = gcd(from_hz, to_hz)
        self._up, self._down = to_hz // divisor, from_hz // divisor
        cutoff = min(1.0, to_hz / from_hz)
        self._reach = int(np.ceil(_HALF_TAPS / cutoff))
        self._filters = _phases(self._up, self._reach, 0.92 * cutoff)
        self._held = np.zeros(self._reach, np.float32)
        self._position = 0
        """Of the next output sample, in 1/up input samples from the start of ``_held``'s centre."""

    def feed(self, samples: Wave) -> Wave:
        """The output that ``samples`` complete."""
        if self._up == self._down:
            return samples
        data = np.concatenate((self._held, samples))
        last = len(data) - 2 * self._reach  # centres that have their whole filter
        count = max(0, -(-(last * self._up - self._position) // self._down))
        at = self._position + self._down * np.arange(count)
        first, phase = np.divmod(at, self._up)
        windows = data[first[:, None] + np.arange(2 * self._reach)]
        self._position += count * self._down
        done = min(self._position // self._up, len(data))
        self._held, self._position = data[done:], self._position - done * self._up
        output: Wave = np.einsum("ij,ij->i", windows, self._filters[phase])
        return output

    def flush(self) -> Wave:
        """The last output, as if silence followed."""
        return self.feed(np.zeros(self._reach, np.float32))


def _phases(up: int, reach: int, cutoff: float) -> Wave:
    """Filters of shape (up, 2*reach): row p interpolates p/up of a sample past the centre."""
    offsets = np.arange(2 * reach) - reach
    times = offsets[None, :] - np.arange(up)[:, None] / up
    window = np.cos(np.pi * np.clip(times / (2 * reach), -0.5, 0.5)) ** 2
    filters = cutoff * np.sinc(cutoff * times) * window
    level: Wave = (filters / filters.sum(axis=1, keepdims=True)).astype(np.float32)
    return level


class Trim:
    """Cuts leading silence to 20 ms and trailing silence to 120 ms; pauses inside stay."""

    def __init__(self, rate_hz: int) -> None:
        self._window = rate_hz * WINDOW_MS // 1000
        self._lead = rate_hz * LEAD_MS // 1000
        self._tail = rate_hz * TAIL_MS // 1000
        self._floor = 10 ** (SILENCE_DB / 20)
        self._begun = False
        self._part = _EMPTY
        self._quiet = _EMPTY
        """Silence since the last sound, held until it is known whether sound follows."""

    def feed(self, samples: Wave) -> Wave:
        """What of the audio so far is to be heard."""
        data = np.concatenate((self._part, samples))
        whole = len(data) // self._window * self._window
        self._part = data[whole:]
        windows = data[:whole].reshape(-1, self._window)
        loud = np.flatnonzero(np.sqrt(np.mean(windows**2, axis=1)) > self._floor)
        quiet = np.concatenate((self._quiet, data[:whole]))
        if len(loud) == 0:
            self._quiet = quiet if self._begun else quiet[-self._lead :]
            return _EMPTY
        start = 0
        if not self._begun:
            start = max(0, len(self._quiet) + int(loud[0]) * self._window - self._lead)
            self._begun = True
        end = len(self._quiet) + (int(loud[-1]) + 1) * self._window
        self._quiet = quiet[end:]
        return quiet[start:end]

    def flush(self) -> Wave:
        """The end of the phrase: at most 120 ms of silence."""
        if not self._begun:
            return _EMPTY
        return np.concatenate((self._quiet, self._part))[: self._tail]


class Shaper:
    """Raw engine audio to what the caller hears: trimmed, levelled, at the call's rate."""

    def __init__(self, from_hz: int, to_hz: int, gain_db: float = 0.0) -> None:
        self._gain = 10 ** (gain_db / 20)
        self._trim = Trim(from_hz)
        self._resampler = Resampler(from_hz, to_hz)

    def feed(self, pcm: bytes) -> bytes:
        """L16 in, L16 out; may be empty while silence is held back."""
        wave = np.frombuffer(pcm, "<i2").astype(np.float32) * (self._gain / 32768)
        return _l16(self._resampler.feed(self._trim.feed(wave)))

    def flush(self) -> bytes:
        """The end of the phrase."""
        last = self._resampler.feed(self._trim.flush())
        return _l16(np.concatenate((last, self._resampler.flush())))


def _l16(wave: Wave) -> bytes:
    """To L16, peaks above -1.5 dBFS bent softly instead of clipped."""
    knee = 0.84
    over = np.abs(wave) - knee
    soft = np.sign(wave) * (knee + (1 - knee) * np.tanh(np.maximum(over, 0) / (1 - knee)))
    bent: Samples = (np.where(over > 0, soft, wave) * 32767).astype("<i2")
    return bent.tobytes()
