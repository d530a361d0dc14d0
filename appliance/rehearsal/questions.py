"""What the callers of a rehearsal ask: recordings, as lines of a conversation."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.audio import frame_bytes, halve_rate, read_wav, sound_spans
from appliance.engines.emulated_script import Script
from appliance.errors import UserError
from appliance.rehearsal.calls import lines_for
from appliance.rehearsal.conversation import Line, lines_of

RATE_HZ = 8000
EDGE_DB = -42.0
"""Speech begins and ends where 5 ms windows pass this level."""
LONGEST_S = 30.0
"""The worker ends a turn of this length by itself."""
MOST = 500


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked, and what is known of it."""

    lines: list[Line]
    first_word_ms: dict[str, int]
    """Where the first word of a line ends; empty where nobody knows."""
    name: str
    """Where they come from, for the report."""


def of_script(script: Script) -> Questions:
    """The questions of the sample agent, some of them said into the answer (barge-in)."""
    firsts = {u.id: u.words[0].end_ms for u in script.utterances if u.words}
    return Questions(lines_for(script, RATE_HZ, barge_ins=True), firsts, "the sample agent's")


def of_folder(folder: Path) -> Questions:
    """Every WAV of a folder, cut to its sound. Raises UserError: none there, or one is no speech."""
    files = sorted(folder.glob("*.wav"))[:MOST]
    if not files:
        raise UserError(f"{folder} has no *.wav. Put a recording of each question there.")
    lines = lines_of({file.name: _speech(file) for file in files}, frame_bytes(RATE_HZ))
    return Questions(lines, {}, f"{len(files)} recordings of {folder.name}")


def of_sound(sounds: dict[str, bytes], name: str) -> Questions:
    """Questions as L16 at 8 kHz, by their names. Raises UserError where one is silent."""
    cut = {id_: _cut(pcm, RATE_HZ, id_) for id_, pcm in sounds.items()}
    return Questions(lines_of(cut, frame_bytes(RATE_HZ)), {}, name)


def _speech(file: Path) -> bytes:
    try:
        channels, rate_hz = read_wav(file)
    except (wave.Error, EOFError, ValueError, OSError) as e:
        raise UserError(f"{file} cannot be read: {e}. Record 16 bit WAV, 8 or 16 kHz.") from e
    samples = np.mean([np.frombuffer(c, "<i2") for c in channels], axis=0).astype("<i2")
    if rate_hz == 2 * RATE_HZ:
        samples = halve_rate(samples)
    elif rate_hz != RATE_HZ:
        samples = _resampled(samples, rate_hz, file)
    return _cut(samples.tobytes(), RATE_HZ, str(file))


def _resampled(samples: np.ndarray, rate_hz: int, file: Path) -> np.ndarray:
    try:
        import soxr
    except ImportError as e:
        raise UserError(
            f"{file} has {rate_hz} Hz. Record it at 8000 or 16000 Hz, or: pip install soxr."
        ) from e
    narrow: np.ndarray = soxr.resample(samples.astype(np.float64), rate_hz, RATE_HZ)
    return narrow.clip(-32768, 32767).astype("<i2")


def _cut(pcm: bytes, rate_hz: int, name: str) -> bytes:
    """``pcm`` from its first to its last sound: the end of the recording is the end of the turn."""
    spans = sound_spans(pcm, rate_hz, floor_db=EDGE_DB, bridge_ms=10_000, window_ms=5)
    if not spans:
        raise UserError(f"{name} is silent. Record a question that can be heard.")
    start_ms, end_ms = spans[0][0], spans[-1][1]
    if end_ms - start_ms > LONGEST_S * 1000:
        raise UserError(f"{name} is over {LONGEST_S:.0f} s long. Keep each question to itself.")
    return pcm[2 * start_ms * rate_hz // 1000 : 2 * end_ms * rate_hz // 1000]
