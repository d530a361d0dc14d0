"""Whisper's features of growing audio: the same numbers as of all of it at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from appliance.audio import double_rate
from appliance.models.mel_stream import FRAMES, MelStream
from appliance.models.whisper_features import HANN, mel_filters


def speech(samples: int, seed: int = 1) -> NDArray[np.int16]:
    return np.random.default_rng(seed).normal(0, 3000, samples).astype(np.int16)


def reference(pcm: NDArray[np.int16], rate_hz: int, mels: int) -> NDArray[np.float64]:
    """As the paper's code does it: 30 s of audio, padded with silence, transformed at once."""
    wide = pcm if rate_hz == 16_000 else double_rate(pcm)
    audio = np.zeros(480_000)
    audio[: len(wide)] = wide[:480_000] / 32768
    padded = np.pad(audio, 200, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160][:3000]
    power = np.abs(np.fft.rfft(frames * HANN, axis=-1)) ** 2
    decades = np.log10(np.maximum(mel_filters(mels) @ power.T, 1e-10))
    return (np.maximum(decades, decades.max() - 8) + 4) / 4


@pytest.mark.parametrize(("rate_hz", "mels"), [(8000, 80), (16_000, 128)])
def test_it_is_whispers_own(rate_hz: int, mels: int) -> None:
    for samples in (0, 1, 199, 5000, rate_hz * 3 + 77, rate_hz * 29):
        pcm = speech(samples)
        features = MelStream(mels, rate_hz).window(pcm.tobytes())
        assert features.shape == (mels, FRAMES) and features.dtype == np.float32
        np.testing.assert_allclose(features, reference(pcm, rate_hz, mels), atol=2e-5)


def test_what_is_longer_than_30_s_is_cut() -> None:
    pcm = speech(8000 * 31)
    cut = MelStream(80, 8000).window(pcm[: 8000 * 30].tobytes())
    assert (MelStream(80, 8000).window(pcm.tobytes()) == cut).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=6), st.sampled_from([8000, 16_000]))
def test_audio_that_grows_gives_what_it_gives_at_once(steps: list[int], rate_hz: int) -> None:
    pcm, stream = speech(sum(steps)), MelStream(80, rate_hz)
    for end in itertools.accumulate(steps):
        grown = stream.window(pcm[:end].tobytes())
    np.testing.assert_allclose(grown, MelStream(80, rate_hz).window(pcm.tobytes()), atol=1e-6)
