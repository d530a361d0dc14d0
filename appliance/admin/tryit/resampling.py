"""Between the browser's 48 kHz and a call's 8 or 16 kHz, a frame at a time, with little delay.

A frame of 20 ms in is a frame of 20 ms out: nothing is held back for the next one, and the sound comes
:data:`DELAY_MS` later. (A resampler that fills blocks of its own costs a whole frame more.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from appliance.audio import Samples

BROWSER_HZ = 48000
HALF_LENGTH_MS = 1.5
DELAY_MS = HALF_LENGTH_MS
"""Group delay of the linear-phase filters: half of their length."""
_BETA = 6.0
"""Of the Kaiser window: side lobes below -60 dB."""
_PASS = 0.92
"""Cut-off, as a share of the lower rate's half: 3.4 kHz of a telephone's 4 kHz."""

Floats = NDArray[np.float32]


def _filter(factor: int) -> Floats:
    """Low-pass at 48 kHz for a rate ``factor`` times lower; sums to 1."""
    half = round(HALF_LENGTH_MS * BROWSER_HZ / 1000)
    at = np.arange(-half, half + 1)
    ideal = np.sinc(at * _PASS / factor)
    taps = ideal * np.kaiser(len(at), _BETA)
    return np.asarray(taps / taps.sum(), np.float32)


class Decimator:
    """48 kHz down to ``rate_hz``, frame by frame."""

    def __init__(self, rate_hz: int) -> None:
        self._factor = BROWSER_HZ // rate_hz
        self._taps = _filter(self._factor)
        self._before = np.zeros(len(self._taps) - 1, np.float32)

    def feed(self, samples: Samples) -> Samples:
        """The next samples, a multiple of the factor of them."""
        whole = np.concatenate((self._before, samples.astype(np.float32)))
        self._before = whole[-len(self._before) :]
        windows = np.lib.stride_tricks.sliding_window_view(whole, len(self._taps))
        return _rounded(windows[:: self._factor] @ self._taps)


class Interpolator:
    """``rate_hz`` up to 48 kHz, frame by frame: each output sample is a few taps of the filter."""

    def __init__(self, rate_hz: int) -> None:
        factor = BROWSER_HZ // rate_hz
        taps = _filter(factor) * factor
        per_phase = -(-len(taps) // factor)
        padded = np.zeros(per_phase * factor, np.float32)
        padded[: len(taps)] = taps
        self._phases = padded.reshape(per_phase, factor)[::-1]
        """Oldest sample first; a column for each of the ``factor`` samples that come of one."""
        self._before = np.zeros(per_phase - 1, np.float32)

    def feed(self, samples: Samples) -> Samples:
        """The next samples."""
        whole = np.concatenate((self._before, samples.astype(np.float32)))
        self._before = whole[len(whole) - len(self._before) :]
        windows = np.lib.stride_tricks.sliding_window_view(whole, len(self._phases))
        return _rounded((windows @ self._phases).ravel())


def _rounded(values: Floats) -> Samples:
    return np.rint(values).clip(-32768, 32767).astype("<i2")
