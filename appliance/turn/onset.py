"""What kind of sound a caller made while the agent speaks: speech, a hum, or a burst of noise.

The voice activity detector cannot tell an "mm-hm" from the first syllable of a question. Their
spectra can: with the lips closed, nearly all energy of a nasal murmur lies in its first formant near
250 Hz (Johnson, Acoustic and Auditory Phonetics, ch. 9); an open vowel has its first above 450 Hz. A
cough is noise: no pitch in it. Where the line has removed the low band, a hum passes for speech, and
the words decide (an "mm-hm" then costs a short stop, after which the agent goes on).
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from appliance.audio import Samples

HUM_CUTOFF_HZ = 450
HUM_HIGH_SHARE = 0.04
"""Share of the energy above the cut-off (-14 dB) under which a window is a murmur."""
WINDOW_MS = 32
QUIET_DB = 30.0
"""Windows this far below the loudest one are not judged."""
PITCH_HZ = (70, 400)
VOICED_CORRELATION = 0.45
OPEN_WINDOWS = 2
"""Voiced, open windows that make speech of a sound."""


Windows = NDArray[np.floating]


class Onset(Enum):
    """The kinds of sound that matter to who has the floor."""

    SPEECH = "speech"
    HUM = "hum"
    NOISE = "noise"


def onset(samples: Samples, rate_hz: int) -> Onset:
    """Judge the first 60-700 ms of a sound (L16 at ``rate_hz``)."""
    size = rate_hz * WINDOW_MS // 1000
    hop = size // 2
    starts = range(0, len(samples) - size + 1, hop)
    windows = np.array([samples[i : i + size] for i in starts], np.float32)
    if len(windows) == 0:
        return Onset.NOISE
    energy = np.mean(windows**2, axis=1)
    windows = windows[energy > energy.max() * 10 ** (-QUIET_DB / 10)]
    voiced = _pitch_correlation(windows, rate_hz) > VOICED_CORRELATION
    spectrum = np.abs(np.fft.rfft(windows * np.hanning(size), axis=1)) ** 2
    cut = HUM_CUTOFF_HZ * size // rate_hz
    high = spectrum[:, cut:].sum(axis=1) / np.maximum(spectrum.sum(axis=1), 1e-9)
    if np.count_nonzero(voiced & (high >= HUM_HIGH_SHARE)) >= OPEN_WINDOWS:
        return Onset.SPEECH
    return Onset.HUM if np.count_nonzero(voiced) else Onset.NOISE


def _pitch_correlation(windows: Windows, rate_hz: int) -> Windows:
    """Each window's highest normalised autocorrelation at a lag of a human pitch."""
    size = windows.shape[1]
    centred = windows - windows.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(centred, 2 * size, axis=1)) ** 2
    correlation = np.fft.irfft(power, axis=1)[:, :size]
    # A lag leaves fewer samples to compare: without this a low voice would look unvoiced.
    correlation = correlation / (1 - np.arange(size) / size)
    shortest, longest = rate_hz // PITCH_HZ[1], min(rate_hz // PITCH_HZ[0], size * 3 // 4)
    peaks: Windows = correlation[:, shortest:longest].max(axis=1)
    loudest: Windows = np.maximum(correlation[:, 0], 1e-9)
    share: Windows = peaks / loudest
    return share
