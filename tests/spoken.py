"""Test callers' speech: flite through 8 kHz µ-law, as a telephone delivers it; and word errors."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import soxr

from appliance.audio import read_wav, ulaw_decode, ulaw_encode
from appliance.ops.demo import script as demoscript

RATE_HZ = 8000
PEAK = 12_000
NOISE = 15.0
"""Standard deviation of the line's noise, about -67 dBFS."""


def line_noise(ms: int) -> np.ndarray:
    return np.random.default_rng(ms).normal(0, NOISE, ms * RATE_HZ // 1000)


def on_the_line(samples: np.ndarray, *, pad_ms: int = 300) -> bytes:
    """8 kHz samples as L16 that has been through µ-law, with line noise at both ends."""
    noisy = np.concatenate((line_noise(pad_ms), samples, line_noise(pad_ms)))
    return ulaw_decode(ulaw_encode(noisy.clip(-32768, 32767).astype("<i2").tobytes()))


@cache
def say(text: str, voice: str = "awb", *, pad_ms: int = 300) -> bytes:
    """``text`` spoken by a flite voice, 8 kHz L16."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice, "-t", text, "-o", str(file)]
        subprocess.run(command, check=True, timeout=20)
        (pcm,), rate_hz = read_wav(file)
    wide = soxr.resample(np.frombuffer(pcm, "<i2").astype(np.float32), rate_hz, RATE_HZ)
    return on_the_line(wide / np.abs(wide).max() * PEAK, pad_ms=pad_ms)


def word_errors(said: str, heard: str) -> int:
    """How many words of ``said`` a recogniser that understood ``heard`` got wrong."""
    return demoscript.word_errors(said.split(), heard.split())
