"""Peaks of real WAV files."""

from __future__ import annotations

import tempfile
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio import write_wav
from appliance.media.beeps import NoWavError
from appliance.media.peaks import read_peaks

RATE_HZ = 8000


def wav(path: Path, *channels: np.ndarray) -> Path:
    write_wav(path, [channel.astype("<i2").tobytes() for channel in channels], RATE_HZ)
    return path


def pulse(seconds: int, at_s: int, level: int) -> np.ndarray:
    samples = np.zeros(seconds * RATE_HZ, np.int16)
    samples[at_s * RATE_HZ : (at_s + 1) * RATE_HZ : 2] = level
    samples[at_s * RATE_HZ + 1 : (at_s + 1) * RATE_HZ : 2] = -level // 2
    return samples


def test_each_side_is_loud_where_it_spoke(tmp_path: Path) -> None:
    file = wav(tmp_path / "a.wav", pulse(10, 2, 32767), pulse(10, 7, 16384))
    found = read_peaks(file, 10)
    assert found.duration_ms == 10_000 and (found.from_ms, found.to_ms) == (0, 10_000)
    assert list(found.caller[1::2]) == [0, 0, 126, 0, 0, 0, 0, 0, 0, 0]
    assert list(found.caller[0::2]).index(min(found.caller)) == 2
    assert list(found.agent[1::2]) == [0, 0, 0, 0, 0, 0, 0, 63, 0, 0]


def test_a_window_is_read_alone(tmp_path: Path) -> None:
    file = wav(tmp_path / "a.wav", pulse(10, 2, 32767), pulse(10, 7, 16384))
    found = read_peaks(file, 4, from_ms=1000, to_ms=3000)
    assert (found.from_ms, found.to_ms) == (1000, 3000)
    assert found.caller[1::2] == (0, 0, 126, 126) and max(found.agent) == 0
    assert read_peaks(file, 4, from_ms=99_000, to_ms=100_000).caller == ()


def test_a_mono_file_shows_on_both_sides(tmp_path: Path) -> None:
    found = read_peaks(wav(tmp_path / "a.wav", pulse(4, 1, 32767)), 4)
    assert found.caller == found.agent and found.caller[1::2] == (0, 126, 0, 0)


@given(st.integers(1, 50), st.integers(1, 700), st.integers(60, 3000))
def test_blocks_change_nothing(buckets: int, frames: int, block: int) -> None:
    rng = np.random.default_rng(frames)
    samples = rng.integers(-32768, 32767, (frames, 2), dtype=np.int16)
    with tempfile.TemporaryDirectory() as folder:
        file = wav(Path(folder) / "a.wav", samples[:, 0], samples[:, 1])
        whole = read_peaks(file, buckets)
        assert read_peaks(file, buckets, block_bytes=block) == whole
    assert len(whole.caller) == 2 * min(buckets, frames)
    assert max(whole.caller) == int(samples[:, 0].max()) * 127 // 32768
    assert min(whole.agent) == int(samples[:, 1].min()) * 127 // 32768


def test_what_is_no_wav_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.wav"
    text.write_text("RIFF but not a recording")
    with pytest.raises(NoWavError):
        read_peaks(text, 10)
    eight_bit = tmp_path / "b.wav"
    with wave.open(str(eight_bit), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(8000)
        out.writeframes(bytes(800))
    with pytest.raises(NoWavError, match="16-bit"):
        read_peaks(eight_bit, 10)
    with pytest.raises(OSError):
        read_peaks(tmp_path / "none.wav", 10)


def test_an_empty_recording_has_no_peaks(tmp_path: Path) -> None:
    empty = np.zeros(0, np.int16)
    assert read_peaks(wav(tmp_path / "a.wav", empty, empty), 10).caller == ()
