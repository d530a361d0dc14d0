"""Whisper's log-mel features for 8 s of speech, in numpy: what Smart Turn v3 listens to.

The definition is that of Whisper's feature extractor (Radford et al., 2022): 25 ms periodic Hann
windows every 10 ms, power spectrum, 80 Slaney mel bands, log10 clamped 8 decades under the peak.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

RATE_HZ = 16_000
SECONDS = 8
SAMPLES = RATE_HZ * SECONDS
WINDOW = 400
HOP = 160
MELS = 80
FRAMES = SAMPLES // HOP

_LINEAR_HZ_PER_MEL = 200 / 3
_LOG_FROM_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27
_FLOOR = 1e-10
_VARIANCE_FLOOR = 1e-7

Features = NDArray[np.float32]


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's scale: linear to 1 kHz, logarithmic above."""
    knee = _LOG_FROM_HZ / _LINEAR_HZ_PER_MEL
    above = _LOG_FROM_HZ * np.exp(_LOG_STEP * (mel - knee))
    return np.where(mel < knee, mel * _LINEAR_HZ_PER_MEL, above)


def mel_filters(mels: int) -> NDArray[np.float64]:
    """Triangles of equal area, shape (mels, 201)."""
    top = _LOG_FROM_HZ / _LINEAR_HZ_PER_MEL + np.log(RATE_HZ / 2 / _LOG_FROM_HZ) / _LOG_STEP
    edges = _mel_to_hz(np.linspace(0, top, mels + 2))
    bins = np.linspace(0, RATE_HZ / 2, WINDOW // 2 + 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    triangles: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
    return triangles * (2 / (high - low))


_FILTERS = mel_filters(MELS)
HANN = np.hanning(WINDOW + 1)[:-1]


def log_mel(samples: NDArray[np.float32]) -> Features:
    """Features (80, 800) of exactly 8 s of 16 kHz audio, first made zero-mean, unit-variance."""
    if samples.shape != (SAMPLES,):
        raise ValueError(f"need {SAMPLES} samples, got {samples.shape}")
    level = (samples - samples.mean()) / np.sqrt(samples.var() + _VARIANCE_FLOOR)
    padded = np.pad(level.astype(np.float64), WINDOW // 2, mode="reflect")
    windows = sliding_window_view(padded, WINDOW)[::HOP][:FRAMES]
    spectrum = np.fft.rfft(windows * HANN, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    decades = np.log10(np.maximum(_FLOOR, _FILTERS @ power.T))
    clamped = np.maximum(decades, decades.max() - 8)
    features: Features = ((clamped + 4) / 4).astype(np.float32)
    return features
