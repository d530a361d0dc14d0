"""Rate, level and silence of an engine's voice."""

from __future__ import annotations

import math

import numpy as np
import pytest

from appliance.audio import level_db
from appliance.models.shaping import Resampler, Shaper, Trim, active_db


def tone(rate_hz: int, hz: float, seconds: float = 0.5) -> np.ndarray:
    at = np.arange(int(rate_hz * seconds)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * hz * at)).astype(np.float32)


def resampled(wave: np.ndarray, from_hz: int, to_hz: int, piece: int) -> np.ndarray:
    resampler = Resampler(from_hz, to_hz)
    parts = [resampler.feed(wave[at : at + piece]) for at in range(0, len(wave), piece)]
    return np.concatenate([*parts, resampler.flush()])


@pytest.mark.parametrize(("from_hz", "to_hz"), [(16000, 8000), (22050, 8000), (22050, 16000)])
@pytest.mark.parametrize("hz", [200.0, 1000.0, 3000.0])
def test_a_tone_keeps_its_pitch_phase_and_level(from_hz: int, to_hz: int, hz: float) -> None:
    out = resampled(tone(from_hz, hz), from_hz, to_hz, 480)
    wanted = tone(to_hz, hz)
    assert abs(len(out) - len(wanted)) <= 1
    middle = slice(200, len(wanted) - 200)
    assert np.abs(out[middle] - wanted[middle]).max() < 0.02  # no delay either


@pytest.mark.parametrize("from_hz", [16000, 22050])
def test_what_the_lower_rate_cannot_carry_is_gone(from_hz: int) -> None:
    out = resampled(tone(from_hz, 5000), from_hz, 8000, 480)
    assert np.sqrt(np.mean(out[200:-200] ** 2)) < 0.005


@pytest.mark.parametrize("piece", [1, 7, 160, 5000])
def test_pieces_do_not_matter(piece: int) -> None:
    wave = np.random.default_rng(1).normal(0, 0.1, 3000).astype(np.float32)
    whole = resampled(wave, 22050, 8000, 3000)
    assert np.allclose(resampled(wave, 22050, 8000, piece), whole, atol=1e-6)


@pytest.mark.parametrize("piece", [33, 80, 400, 16000])
def test_silence_is_cut_at_the_ends_and_kept_inside(piece: int) -> None:
    rate = 8000
    quiet = np.zeros(rate * 3 // 10, np.float32)  # 300 ms
    sound = tone(rate, 500, 0.2)
    wave = np.concatenate((quiet, sound, quiet, sound, quiet))
    trim = Trim(rate)
    parts = [trim.feed(wave[at : at + piece]) for at in range(0, len(wave), piece)]
    out = np.concatenate([*parts, trim.flush()])
    assert abs(len(out) / rate * 1000 - (20 + 200 + 300 + 200 + 120)) <= 5


def test_silence_alone_is_nothing() -> None:
    shaper = Shaper(16000, 8000)
    assert shaper.feed(bytes(32000)) + shaper.flush() == b""


def test_gain_raises_the_level_and_bends_peaks() -> None:
    pcm = (tone(8000, 400) * 32767).astype("<i2").tobytes()
    quiet, loud = Shaper(8000, 8000, -6.0), Shaper(8000, 8000, 12.0)
    low = np.frombuffer(quiet.feed(pcm) + quiet.flush(), "<i2")
    high = np.frombuffer(loud.feed(pcm) + loud.flush(), "<i2")
    assert level_db(low) == pytest.approx(-9.03 - 6, abs=0.2)
    assert -3 < level_db(high) < -0.5
    assert np.abs(high.astype(int)).max() < 32767


def test_the_level_of_speech_does_not_count_its_pauses() -> None:
    tone = np.sin(np.arange(16_000) * 0.3).astype(np.float32) * 0.1
    quiet = np.zeros(16_000, np.float32)
    expected = 20 * np.log10(0.1 / np.sqrt(2))
    assert active_db(np.concatenate((quiet, tone, quiet)), 16_000) == pytest.approx(
        expected, abs=0.1
    )
    assert active_db(quiet, 16_000) == -math.inf
    assert active_db(tone[:10], 16_000) == -math.inf
