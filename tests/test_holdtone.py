"""The tone of a caller who waits: short, soft, without clicks."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.audio import ms_of
from appliance.call.holdtone import PEAK, hold_tone


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_two_soft_beeps(rate_hz: int) -> None:
    pcm = hold_tone(rate_hz)
    samples = np.frombuffer(pcm, "<i2").astype(int)
    assert 200 <= ms_of(len(pcm), rate_hz) <= 600
    assert PEAK * 0.9 < np.abs(samples).max() <= PEAK  # -29 dBFS
    quiet = np.abs(samples).reshape(-1, rate_hz // 100).max(axis=1) < 3
    assert np.count_nonzero(np.diff(quiet.astype(int)) == 1) >= 1  # silence between the two
    assert np.abs(np.diff(samples)).max() < PEAK * 0.5  # no click, not at its ends either
    assert abs(samples[0]) < 3 and abs(samples[-1]) < 30
