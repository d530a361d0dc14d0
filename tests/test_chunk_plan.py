"""How a spectrogram is cut for the vocoder."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance.models.chunk_plan import FIRST_FRAMES, LEAST_LAST_FRAMES, windows

FRAMES = st.integers(1, 3000)
REACH = st.integers(0, 40)


@given(FRAMES, REACH)
def test_every_frame_is_heard_once_in_order(frames: int, reach: int) -> None:
    plan = windows(frames, reach)
    heard = [frame for window in plan for frame in range(window.keep_from, window.keep_to)]
    assert heard == list(range(frames))


@given(FRAMES, REACH)
def test_each_chunk_has_all_that_its_sound_depends_on(frames: int, reach: int) -> None:
    for window in windows(frames, reach):
        assert window.start == max(0, window.keep_from - reach)
        assert window.stop == min(frames, window.keep_to + reach)


@given(st.integers(200, 3000), REACH)
def test_the_first_chunk_is_short_and_no_rest_is_tiny(frames: int, reach: int) -> None:
    plan = windows(frames, reach)
    assert plan[0].heard == FIRST_FRAMES
    assert plan[-1].heard >= LEAST_LAST_FRAMES
    assert [w.heard for w in plan[:-1]] == sorted(w.heard for w in plan[:-1])


@given(st.integers(20, 300), st.integers(1, 9))
def test_a_filter_computed_in_chunks_has_no_seam(frames: int, reach: int) -> None:
    signal = np.random.default_rng(frames).normal(size=frames)
    taps = np.hanning(2 * reach + 1)
    whole = np.convolve(signal, taps, "same")
    parts = []
    for window in windows(frames, reach, first=8, most=32):
        sound = np.convolve(signal[window.start : window.stop], taps, "full")[reach:]
        parts.append(sound[window.keep_from - window.start : window.keep_to - window.start])
    assert np.allclose(np.concatenate(parts), whole)
