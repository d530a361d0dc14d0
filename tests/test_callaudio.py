"""The caller's audio on the call's clock: where speech truly ended, whatever the network did."""

from __future__ import annotations

import numpy as np
import pytest
from telephone import speech

from appliance.audio import FRAME_MS, bytes_of, frame_bytes
from appliance.call.callaudio import KEPT_MS, CallAudio


def received(pcm: bytes, rate_hz: int = 8000, *, late_ms: int = 0) -> CallAudio:
    audio, size = CallAudio(rate_hz), frame_bytes(rate_hz)
    for number, at in enumerate(range(0, len(pcm) - size + 1, size), 1):
        audio.add(pcm[at : at + size], number * FRAME_MS + late_ms)
    return audio


def quiet(ms: int) -> bytes:
    return np.random.default_rng(ms).normal(0, 12, ms * 8).astype("<i2").tobytes()


@pytest.mark.parametrize("off_ms", [-96, -32, 0, 32, 64])
@pytest.mark.parametrize("spoken_ms", [300, 510, 730])
def test_the_end_of_speech_is_placed_to_10_ms(spoken_ms: int, off_ms: int) -> None:
    pcm = quiet(500) + speech(spoken_ms) + quiet(400)
    audio = received(pcm[: len(pcm) // 320 * 320])
    faded = 500 + spoken_ms
    assert abs(audio.speech_end(faded + off_ms) - faded) <= 20


def test_without_a_sound_the_detectors_word_is_taken() -> None:
    assert received(quiet(1000)).speech_end(700) == 700


def test_since() -> None:
    audio = received(bytes(range(1, 251)) * 64)
    whole = audio.since(0)
    assert len(whole) == bytes_of(audio.received_ms, 8000)
    assert audio.since(audio.received_ms - 20) == whole[-320:]
    assert audio.since(audio.received_ms) == audio.since(10**6) == b""


def test_only_the_last_seconds_are_kept_and_positions_stay_true() -> None:
    audio = CallAudio(8000)
    for number in range(1, 3001):
        audio.add(np.full(160, number, "<i2").tobytes(), number * FRAME_MS)
    kept = np.frombuffer(audio.since(0), "<i2")
    assert KEPT_MS <= len(kept) // 8 <= KEPT_MS + 1000
    assert kept[-1] == 3000
    assert np.frombuffer(audio.since(59_000), "<i2")[0] == 59_000 // 20 + 1


def test_a_late_network_does_not_move_the_audio() -> None:
    audio = CallAudio(8000)
    for number in range(1, 101):
        jitter_ms = 0 if number % 7 == 0 else 37
        audio.add(bytes(320), number * FRAME_MS + 5 + jitter_ms)
    assert abs(audio.on_clock(1000) - 1005) <= 1


def test_a_callers_slow_clock_is_followed() -> None:
    audio = CallAudio(8000)
    for number in range(1, 6001):  # two minutes at 100 ppm
        audio.add(bytes(320), round(number * FRAME_MS * 1.0001))
    assert abs(audio.on_clock(audio.received_ms) - 120_012) <= 2


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_quiet_is_40_ms_of_silence(rate_hz: int) -> None:
    audio = CallAudio(rate_hz)
    loud = np.full(rate_hz // 50, 3000, "<i2").tobytes()
    audio.add(loud, 20)
    assert not audio.is_quiet()
    audio.add(bytes(len(loud)), 40)
    assert not audio.is_quiet()
    audio.add(bytes(len(loud)), 60)
    assert audio.is_quiet()
