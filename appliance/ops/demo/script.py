"""What the demo's caller says, recorded once by another voice than the agent's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from appliance.audio import Samples, read_wav, silence, write_wav
from appliance.errors import UserError
from appliance.events import Turn
from appliance.turn.words import normal

VOICE = "awb"
RATE_HZ = 8000
RECORD_TIMEOUT_S = 20
PEAK = 12_000
"""Loudest sample: a caller at about -9 dBFS."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something to say or press: ``/`` in the text is a pause in mid-sentence."""

    text: str
    after: str
    """The live event that it waits for: the reply before it is over, or has begun."""
    pause_s: float
    keys: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A line, recorded."""

    text: str
    after: str
    pause_s: float
    file: Path | None
    keys: str = ""


MID_SENTENCE_PAUSE_MS = 600
SCRIPT = (
    Line("Are you open on Sundays?", "turn_over", 0.7),
    Line("How much does / the family plan cost?", "turn_over", 0.7),
    Line("Which plans do you have?", "turn_over", 0.7),
    # Talks into the answer, which stops.
    Line("Why is the red light on my router?", "audible", 1.6),
    Line("", "audible", 1.2, keys="1"),
    Line("How long does a refund take?", "turn_over", 0.7),
    Line("Thank you. Goodbye.", "turn_over", 0.7),
)


def record(folder: Path) -> list[Step]:
    """Record the script below ``folder``, where that has not been done.

    Raises UserError when flite is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = []
    for number, line in enumerate(SCRIPT, start=1):
        file = None
        if line.text:
            file = folder / f"{number}-{'-'.join(normal(line.text)[:4])}.wav"
            if not file.exists():
                pause = silence(MID_SENTENCE_PAUSE_MS, RATE_HZ)
                pieces = [_speak(piece, folder) for piece in line.text.split("/")]
                write_wav(file, [pause.join(pieces)], RATE_HZ)
        text = " ".join(line.text.replace("/", " ").split())
        steps.append(Step(text, line.after, line.pause_s, file, line.keys))
    return steps


def _speak(text: str, folder: Path) -> bytes:
    if shutil.which("flite") is None:
        raise UserError("The demo's caller needs the voice of flite: apt-get install flite.")
    raw = folder / "raw.wav"
    command = ["flite", "-voice", VOICE, "-t", text.strip(), "-o", str(raw)]
    subprocess.run(command, check=True, timeout=RECORD_TIMEOUT_S)
    (pcm,), rate_hz = read_wav(raw)
    raw.unlink()
    samples = soxr.resample(np.frombuffer(pcm, "<i2").astype(np.float32), rate_hz, RATE_HZ)
    loud = np.flatnonzero(np.abs(samples) > np.abs(samples).max() / 100)
    samples = samples[loud[0] : loud[-1]]
    level: Samples = (samples * PEAK / np.abs(samples).max()).astype(np.int16)
    return level.tobytes()


def words_right(steps: Sequence[Step], turns: Sequence[Turn]) -> float:
    """Share (0-1) of the caller's words that stand in the transcripts, in their order."""
    said = [normal(step.text) for step in steps if step.text]
    spoken = [normal(t.said) for t in turns if t.stages.speech_end is not None and t.said]
    wanted = sum(len(words) for words in said)
    pairs = zip(said, spoken, strict=False)
    return max(0.0, 1 - sum(word_errors(a, b) for a, b in pairs) / wanted) if wanted else 0.0


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Levenshtein distance in words (substitutions, insertions, deletions): what WER counts."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, start=1):
            substitution = before + (word != other)
            before = row[j]
            row[j] = min(row[j] + 1, row[j - 1] + 1, substitution)
    return row[-1]
