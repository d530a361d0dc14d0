"""What a caller hears from time to time while a person is being fetched."""

from __future__ import annotations

from functools import cache

import numpy as np

EVERY_MS = 4000
"""From the end of one to the start of the next."""
TONES_HZ = (440.0, 523.25)
BEEP_MS, GAP_MS, EDGE_MS = 140, 90, 30
PEAK = 1200
"""Of 32 768: -29 dBFS, well below speech."""


@cache
def hold_tone(rate_hz: int) -> bytes:
    """Two short, soft beeps as L16 at ``rate_hz``; their edges are rounded, so that none clicks."""
    gap = np.zeros(rate_hz * GAP_MS // 1000)
    first, second = (_beep(hz, rate_hz) for hz in TONES_HZ)
    return bytes(np.concatenate([first, gap, second]).astype("<i2").tobytes())


def _beep(hz: float, rate_hz: int) -> np.ndarray:
    at = np.arange(rate_hz * BEEP_MS // 1000)
    edge = rate_hz * EDGE_MS // 1000
    rise = np.minimum(1.0, np.minimum(at, at[::-1]) / edge)
    return np.asarray(PEAK * np.sin(np.pi / 2 * rise) ** 2 * np.sin(2 * np.pi * hz * at / rate_hz))
