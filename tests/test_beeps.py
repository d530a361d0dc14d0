"""appliance/media/beeps.py: a tone over the spans, and not one sample elsewhere."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from appliance.audio import read_wav, write_wav
from appliance.media.beeps import LEVEL_DB, TONE_HZ, Beep, NoWavError, beep

RATE_HZ = 8000


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two seconds of noise on both sides."""
    noise = np.random.default_rng(1).integers(-9000, 9000, (2, 2 * RATE_HZ)).astype("<i2")
    path = tmp_path / "call.wav"
    write_wav(path, [noise[0].tobytes(), noise[1].tobytes()], RATE_HZ)
    return path


def sides(path: Path) -> tuple[np.ndarray, np.ndarray]:
    (caller, agent), rate_hz = read_wav(path)
    assert rate_hz == RATE_HZ
    return np.frombuffer(caller, "<i2"), np.frombuffer(agent, "<i2")


def test_a_tone_in_the_span_and_nothing_else_is_touched(recording: Path) -> None:
    before = sides(recording)
    assert beep(recording, [Beep(0, 500, 1000)]) == 500
    caller, agent = sides(recording)
    assert np.array_equal(agent, before[1])
    assert np.array_equal(caller[:4000], before[0][:4000])
    assert np.array_equal(caller[8000:], before[0][8000:])
    tone = caller[4000:8000].astype(float)
    spectrum = np.abs(np.fft.rfft(tone)) ** 2
    assert np.argmax(spectrum) * RATE_HZ / len(tone) == TONE_HZ
    assert spectrum[np.argmax(spectrum)] / spectrum.sum() > 0.999
    level_db = 20 * np.log10(np.sqrt(np.mean(tone**2)) / 32768)
    assert level_db == pytest.approx(LEVEL_DB, abs=0.1)


def test_a_second_run_changes_nothing(recording: Path) -> None:
    spans = [Beep(0, 100, 300), Beep(0, 250, 400), Beep(1, 1900, 5000), Beep(0, 7000, 8000)]
    beep(recording, spans)
    once = recording.read_bytes()
    beep(recording, spans)
    assert recording.read_bytes() == once


def test_a_run_that_was_cut_off_is_finished_by_the_next(recording: Path) -> None:
    spans = [Beep(0, 100, 300), Beep(1, 500, 900)]
    whole = recording.with_name("whole.wav")
    whole.write_bytes(recording.read_bytes())
    beep(whole, spans)
    beep(recording, spans[:1])
    beep(recording, spans)
    assert recording.read_bytes() == whole.read_bytes()


def test_a_file_whose_writer_was_killed_is_beeped_to_its_end(recording: Path) -> None:
    data = bytearray(recording.read_bytes())
    data[40:44] = (0).to_bytes(4, "little")  # the header was never brought up to date
    recording.write_bytes(data)
    assert beep(recording, [Beep(0, 1500, 2000)]) == 500
    assert recording.read_bytes()[44 + 4 * 12000 :] != bytes(data[44 + 4 * 12000 :])


def test_what_follows_the_samples_stays(recording: Path) -> None:
    more = b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    recording.write_bytes(recording.read_bytes() + more)
    beep(recording, [Beep(0, 0, 10_000_000)])
    assert recording.read_bytes().endswith(more)


def test_a_mono_recording_is_beeped_whoever_spoke(tmp_path: Path) -> None:
    path = tmp_path / "mono.wav"
    write_wav(path, [bytes(2 * RATE_HZ)], RATE_HZ)
    beep(path, [Beep(1, 200, 400)])
    with wave.open(str(path)) as wav:
        samples = np.frombuffer(wav.readframes(RATE_HZ), "<i2")
    assert np.abs(samples[1600:3200]).max() > 1000 and not np.abs(samples[:1600]).any()


@pytest.mark.parametrize("data", [b"", b"RIFF", b"OggS" + bytes(100), b"RIFF\0\0\0\0WAVEfmt "])
def test_what_is_no_wav_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(data)
    with pytest.raises(NoWavError):
        beep(path, [Beep(0, 0, 100)])


def test_a_link_is_not_followed(recording: Path) -> None:
    link = recording.with_name("link.wav")
    link.symlink_to(recording)
    with pytest.raises(OSError):
        beep(link, [Beep(0, 0, 100)])
