"""When a line sounds, by its level against its own noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio import bytes_of
from appliance.models.sound import QUIET_MS, Sound

RATE_HZ = 8000


def noise(ms: int, db: float, seed: int = 1) -> bytes:
    """White noise of an RMS level in dBFS."""
    draw = np.random.default_rng(seed).normal(0, 32768 * 10 ** (db / 20), ms * RATE_HZ // 1000)
    return np.clip(draw, -32768, 32767).astype("<i2").tobytes()


@pytest.mark.parametrize("floor_db", [-90.0, -60.0, -45.0])
def test_the_end_of_sound_is_found_over_any_noise(floor_db: float) -> None:
    sound = Sound(RATE_HZ)
    sound.feed(noise(300, floor_db) + noise(900, -25))
    assert not sound.is_quiet
    assert (sound.audio_ms, sound.sound_ms, sound.ended_ms) == (1200, 900, 1200)
    sound.feed(noise(QUIET_MS - 20, floor_db))
    assert not sound.is_quiet
    sound.feed(noise(20, floor_db))
    assert sound.is_quiet
    sound.feed(noise(20, -25))
    assert not sound.is_quiet
    assert sound.sound_ms == 920


def test_a_line_without_sound_is_not_quiet_after_any() -> None:
    sound = Sound(RATE_HZ)
    sound.feed(bytes(bytes_of(2000, RATE_HZ)) + noise(2000, -60))
    assert (sound.sound_ms, sound.ended_ms, sound.is_quiet) == (0, 0, False)


def test_who_speaks_softly_over_noise_is_not_taken_for_silence() -> None:
    sound = Sound(RATE_HZ)
    sound.feed(noise(600, -40))
    assert (sound.sound_ms, sound.loud_ms) == (0, 600)
    sound.start()
    assert sound.loud_ms == 0


def test_a_long_vowel_over_a_quiet_line_stays_sound() -> None:
    sound = Sound(RATE_HZ)
    sound.feed(noise(300, -70) + noise(8000, -20))
    assert (sound.sound_ms, sound.is_quiet) == (8000, False)


def test_noise_that_begins_is_the_floor_soon() -> None:
    sound = Sound(RATE_HZ)
    sound.feed(noise(300, -70) + noise(3000, -44))  # a car window
    assert sound.is_quiet
    assert sound.sound_ms < 1600


def test_a_new_utterance_counts_anew_on_the_same_line() -> None:
    sound = Sound(RATE_HZ)
    sound.feed(noise(2000, -45) + noise(500, -20))
    sound.start()
    sound.feed(noise(500, -20))  # no pre-roll: the floor is known
    assert (sound.audio_ms, sound.sound_ms) == (500, 500)


@given(st.lists(st.integers(1, 2000), max_size=20))
def test_it_does_not_matter_how_audio_is_cut(sizes: list[int]) -> None:
    pcm = noise(300, -60) + noise(700, -25, 2) + noise(200, -60, 3)
    whole, cut = Sound(RATE_HZ), Sound(RATE_HZ)
    whole.feed(pcm)
    at = 0
    for size in [*(2 * n for n in sizes), len(pcm)]:
        cut.feed(pcm[at : at + size])
        at += size
    assert (cut.audio_ms, cut.sound_ms, cut.ended_ms) == (
        whole.audio_ms, whole.sound_ms, whole.ended_ms,
    )  # fmt: skip
