"""Speech, a hum or a burst of noise, told apart within 200 ms."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from spoken import say

from appliance.audio import sound_spans, ulaw_decode, ulaw_encode
from appliance.turn.onset import Onset, onset

RATE_HZ = 8000
BEGINNINGS = (
    "what are your hours",
    "can I pay by card",
    "no wait",
    "stop",
    "who are you",
    "how much does it cost",
    "tell me about the refund",
    "I have a question",
)


def line(samples: np.ndarray) -> np.ndarray:
    """As a telephone brings it: µ-law."""
    pcm = samples.clip(-32768, 32767).astype("<i2").tobytes()
    return np.frombuffer(ulaw_decode(ulaw_encode(pcm)), "<i2")


def resonance(x: np.ndarray, hz: float, width_hz: float) -> np.ndarray:
    """A formant: a second-order resonator."""
    r = np.exp(-np.pi * width_hz / RATE_HZ)
    a1, a2 = 2 * r * np.cos(2 * np.pi * hz / RATE_HZ), -r * r
    y, y1, y2 = np.zeros(len(x)), 0.0, 0.0
    for n, value in enumerate(x):
        y[n] = value + a1 * y1 + a2 * y2
        y1, y2 = y[n], y1
    return y / np.abs(y).max()


def voiced(pitch_hz: float, ms: int, formants: list[tuple[float, float, float]]) -> np.ndarray:
    """A glottal pulse train through formants (Hz, width, gain), at about -16 dBFS."""
    n = ms * RATE_HZ // 1000
    pulses = np.diff(np.floor(np.cumsum(np.full(n, pitch_hz / RATE_HZ))), prepend=0)
    sound = sum(gain * resonance(pulses, hz, width) for hz, width, gain in formants)
    return line(sound / np.abs(sound).max() * 5000 * np.hanning(n) ** 0.3)


def murmur(pitch_hz: float, ms: int = 300) -> np.ndarray:
    """An "mm": lips closed, nearly all of it in the first formant near 250 Hz."""
    return voiced(pitch_hz, ms, [(260, 60, 1), (1000, 150, 0.06), (2200, 200, 0.03)])


def noise(ms: int, seed: int = 0) -> np.ndarray:
    """A cough: a burst without a pitch."""
    n = ms * RATE_HZ // 1000
    burst = np.random.default_rng(seed).normal(0, 4000, n) * np.exp(-np.arange(n) / (n / 3))
    return line(burst)


def beginning(text: str, voice: str, ms: int) -> np.ndarray:
    samples = np.frombuffer(say(text, voice), "<i2")
    start, _ = sound_spans(samples.tobytes(), RATE_HZ, floor_db=-40)[0]
    begin = start * RATE_HZ // 1000
    return samples[begin : begin + ms * RATE_HZ // 1000]


@pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
@pytest.mark.parametrize(("ms", "share"), [(128, 0.6), (192, 0.8), (320, 0.95)])
def test_real_speech_is_known_soon(ms: int, share: float) -> None:
    kinds = [
        onset(beginning(text, voice, ms), RATE_HZ)
        for text in BEGINNINGS
        for voice in ("awb", "slt", "rms")
    ]
    assert kinds.count(Onset.SPEECH) / len(kinds) >= share, kinds


@pytest.mark.parametrize("pitch_hz", [90, 120, 160, 210, 260])
@pytest.mark.parametrize("ms", [128, 192, 300, 450])
def test_a_hum_is_a_hum_however_long(pitch_hz: float, ms: int) -> None:
    assert onset(murmur(pitch_hz, ms), RATE_HZ) is Onset.HUM


@pytest.mark.parametrize("ms", [100, 200, 400])
def test_a_cough_is_noise(ms: int) -> None:
    kinds = [onset(noise(ms, seed), RATE_HZ) for seed in range(10)]
    assert kinds.count(Onset.NOISE) >= 9


@pytest.mark.parametrize("pitch_hz", [100, 200])
def test_an_open_vowel_is_speech(pitch_hz: float) -> None:
    ah = voiced(pitch_hz, 128, [(700, 80, 1), (1200, 90, 0.5), (2600, 150, 0.2)])
    assert onset(ah, RATE_HZ) is Onset.SPEECH


def test_a_hum_that_opens_becomes_speech() -> None:
    ah = voiced(120, 160, [(700, 80, 1), (1200, 90, 0.5), (2600, 150, 0.2)])
    assert onset(np.concatenate((murmur(120, 200), ah)), RATE_HZ) is Onset.SPEECH


def test_wideband_is_judged_alike() -> None:
    wide = np.repeat(murmur(120), 2).astype(np.int16)
    assert onset(wide, 16000) is Onset.HUM


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("length", [0, 1, 255, 256, 4000])
def test_silence_and_scraps_are_noise_and_never_raise(length: int) -> None:
    assert onset(np.zeros(length, np.int16), RATE_HZ) is Onset.NOISE
    assert isinstance(onset(np.full(length, -32768, np.int16), RATE_HZ), Onset)
