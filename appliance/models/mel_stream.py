"""Whisper's log-mel features of an utterance that grows: only what is new is computed.

The same numbers as Whisper's own feature extractor makes of the audio followed by silence up to
30 s (Radford et al. 2022): 25 ms Hann windows every 10 ms, 80 or 128 Slaney mel bands, log10
clamped 8 decades under the peak of the window.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from appliance.audio import double_rate
from appliance.models.whisper_features import HANN, HOP, RATE_HZ, WINDOW, mel_filters

WINDOW_MS = 30_000
FRAMES = WINDOW_MS * RATE_HZ // 1000 // HOP
"""Of the window that the model hears."""
MOST_SAMPLES = FRAMES * HOP
HALF = WINDOW // 2
POWER_FLOOR = 1e-10
DECADES = 8.0

Features = NDArray[np.float32]

_filters = lru_cache(maxsize=2)(mel_filters)


class MelStream:
    """One utterance; used by one thread at a time."""

    def __init__(self, mels: int, rate_hz: int) -> None:
        self._mels = mels
        self._rate_hz = rate_hz
        self._done: list[Features] = []
        """log10 of mel power (mels, frames) that more audio does not change."""
        self._frames = 0

    def window(self, pcm: bytes) -> Features:
        """Features (mels, 3000) of L16 audio from the utterance's start, as far as 30 s; what was
        computed for a shorter part of the same audio is kept."""
        samples = np.frombuffer(pcm, "<i2")[: MOST_SAMPLES * self._rate_hz // RATE_HZ]
        wide = samples if self._rate_hz == RATE_HZ else double_rate(samples)
        # The last sample of doubled audio changes when the next one comes.
        settled = max(0, (len(wide) - 2 - HALF) // HOP)
        if settled > self._frames:
            self._done.append(self._decades(wide, self._frames, settled))
            self._frames = settled
        last = min(FRAMES, (len(wide) + HALF) // HOP + 1)
        parts = [*self._done, self._decades(wide, self._frames, last)]
        return _normal(np.concatenate(parts, axis=1))

    def _decades(self, wide: NDArray[np.int16], start: int, end: int) -> Features:
        """Frames ``start`` to ``end``; frame i is centred on sample i x 160."""
        first, last = start * HOP - HALF, (end - 1) * HOP + HALF
        inside = wide[max(0, first) : last].astype(np.float32) / np.float32(32768)
        after = np.zeros(max(0, last - max(0, first) - len(inside)), np.float32)
        padded = np.concatenate((inside, after))
        if first < 0:  # as the extractor does: mirrored at the start
            mirror = np.concatenate((padded, np.zeros(max(0, 1 - first - len(padded)), np.float32)))
            padded = np.concatenate((mirror[1 : 1 - first][::-1], padded))
        windows = sliding_window_view(padded, WINDOW)[::HOP][: end - start]
        spectrum = np.fft.rfft(windows * HANN.astype(np.float32), axis=-1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        mel = _filters(self._mels).astype(np.float32) @ power.T
        decades: Features = np.log10(np.maximum(mel, np.float32(POWER_FLOOR)))
        return decades


def _normal(decades: Features) -> Features:
    """Clamped, scaled, and followed by silence up to the whole window."""
    least = max(float(decades.max()) - DECADES, np.log10(POWER_FLOOR))
    features = np.full((len(decades), FRAMES), least, np.float32)
    features[:, : decades.shape[1]] = np.maximum(decades, np.float32(least))
    scaled: Features = (features + np.float32(4)) / np.float32(4)
    return scaled
