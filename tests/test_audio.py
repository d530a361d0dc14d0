"""PCM: G.711 against an independent codec, rates, levels, spans."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import audio

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    audioop = pytest.importorskip("audioop")  # the C implementation that Python had up to 3.12

CODES = bytes(range(256))
SAMPLES = np.arange(-32768, 32768, dtype="<i2").tobytes()


def test_decoding_is_the_references() -> None:
    assert audio.ulaw_decode(CODES) == audioop.ulaw2lin(CODES, 2)


def test_encoding_is_as_near_as_the_references() -> None:
    encode, decode = audio.ulaw_encode, audio.ulaw_decode
    reference = audioop.lin2ulaw(SAMPLES, 2)
    samples = np.frombuffer(SAMPLES, "<i2").astype(int)
    ours = np.abs(np.frombuffer(decode(encode(SAMPLES)), "<i2").astype(int) - samples)
    theirs = np.abs(np.frombuffer(decode(reference), "<i2").astype(int) - samples)
    assert np.all(ours <= theirs)
    assert decode(encode(decode(CODES))) == decode(CODES)


def test_sizes() -> None:
    assert (audio.frame_bytes(8000), audio.frame_bytes(16000)) == (320, 640)
    assert audio.ms_of(320, 8000) == audio.ms_of(640, 16000) == 20
    assert audio.silence(30, 16000) == bytes(960)


@given(st.integers(0, 10_000), st.sampled_from(audio.RATES_HZ))
def test_ms_and_bytes_agree(ms: int, rate_hz: int) -> None:
    assert audio.ms_of(audio.bytes_of(ms, rate_hz), rate_hz) == ms
    assert audio.bytes_of(ms, rate_hz) % 2 == 0


@pytest.mark.parametrize("hz", [200, 1000, 2500])
def test_rates_are_converted_without_changing_a_tone(hz: int) -> None:
    tone = (8000 * np.sin(2 * np.pi * hz * np.arange(1600) / 8000)).astype(np.int16)
    wide = audio.double_rate(tone)
    assert len(wide) == 3200
    spectrum = np.abs(np.fft.rfft(wide.astype(float)))
    assert abs(int(np.argmax(spectrum)) * 16000 / 3200 - hz) < 10
    back = audio.halve_rate(wide)
    assert len(back) == 1600
    assert abs(audio.level_db(back) - audio.level_db(tone)) < 4


def test_extremes_do_not_overflow() -> None:
    loud = np.array([32767, 32767, -32768, -32768] * 100, np.int16)
    assert audio.double_rate(loud).max() == 32767 and audio.double_rate(loud).min() == -32768
    assert audio.halve_rate(loud).max() <= 32767


def test_levels() -> None:
    assert audio.level_db(np.array([], np.int16)) == audio.level_db(np.zeros(9, np.int16)) == -100
    assert abs(audio.level_db(np.full(160, 32767, np.int16))) < 0.01
    assert abs(audio.level_db(np.full(160, 3277, np.int16)) + 20) < 0.05


def test_spans_of_sound() -> None:
    rate_hz = 8000
    loud = np.full(audio.bytes_of(100, rate_hz) // 2, 5000, "<i2").tobytes()
    pcm = audio.silence(200, rate_hz) + loud + audio.silence(100, rate_hz) + loud
    pcm += audio.silence(400, rate_hz) + loud
    assert audio.sound_spans(pcm, rate_hz) == [(200, 500), (900, 1000)]
    assert audio.sound_spans(pcm, rate_hz, bridge_ms=50) == [(200, 300), (400, 500), (900, 1000)]
    assert audio.sound_spans(b"", rate_hz) == []


def test_a_wav_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    left, right = SAMPLES[:400], SAMPLES[1000:1200]
    audio.write_wav(path, [left, right], 16000)
    channels, rate_hz = audio.read_wav(path)
    assert rate_hz == 16000 and channels == [left, right + bytes(200)]
