"""How often answering-machine detection is right, over a generated corpus, and what it costs.

    python -m bench.answering            # the whole corpus, about a minute of one core
    python -m bench.answering --every 5  # a fifth of it

Greetings are spoken by flite and espeak-ng, beeps and signals are computed; all of it goes through
G.711 with line noise at several levels. Speech is what the worker's own detector (Silero) says.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import soxr
from numpy.typing import NDArray

from appliance.audio import frame_bytes, read_wav, ulaw_decode, ulaw_encode
from appliance.engines.vad import CHUNK_SAMPLES, CONTEXT_SAMPLES, STATE_SIZE, model_path
from appliance.turn.answering import Answering, Verdict

RATE_HZ = 8000
VOICES = ("awb", "slt", "rms", "kal16", "espeak:en", "espeak:hi", "espeak:en+f3")
LEVELS_DB = (-12.0, -20.0, -30.0, -38.0)
NOISES_DB = (-75.0, -55.0)
SNR_DB = 15.0
"""Noise never stands closer than this under the sound: a line worse than that carries no call."""
BEEPS = ((350, 300), (440, 250), (620, 600), (850, 150), (950, 400), (1000, 1000), (1400, 120),
         (2000, 500))  # fmt: skip
SHORT = ("Hello?", "Yes?", "Hello, Asha speaking.", "Hello, hello?", "Who is this?", "Hi.",
         "Good morning.", "Yes, tell me.")  # fmt: skip
LONG = (
    "Hello, you have reached the voicemail of Asha Rao. I can not take your call right now."
    " Please leave a message after the tone.",
    "The person you are calling is not available. Please record your message after the beep.",
    "Thank you for calling Sunrise Broadband. Our office is closed now. Leave your name and your"
    " number and we will call you back.",
    "Hi, this is Tom, sorry I missed you, leave me a message and I will ring you back later today.",
)
TERSE = "Leave a message."
BUSINESS = (
    "Good morning, Sunrise Broadband, Priya speaking, how may I help you today?",
    "City hospital, outpatient department, this is Ravi, whom would you like to speak to?",
)
"""People who answer like machines: told apart by nothing but their silence after it."""
HARD = ("person, recites (hard)", "machine, terse (hard)")
"""Wrong by the rules themselves; counted all the same."""

Wave = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """One call: what it sounds like at 8 kHz, and what it should be taken for."""

    kind: str
    sound: Wave
    who: str
    beep_end_ms: int | None = None
    greeting_end_ms: int | None = None


# --- sounds ---------------------------------------------------------------------------------------


@cache
def speech(text: str, voice: str) -> Wave:
    """``text`` at 8 kHz and -20 dBFS while it sounds, without the silence around it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        engine, _, name = voice.partition(":")
        if name:
            command = ["espeak-ng", "-v", name, "-w", str(file), text]
        else:
            command = ["flite", "-voice", engine, "-t", text, "-o", str(file)]
        subprocess.run(command, check=True, timeout=30, stderr=subprocess.DEVNULL)
        (pcm,), rate_hz = read_wav(file)
    wave = soxr.resample(np.frombuffer(pcm, "<i2").astype(np.float64), rate_hz, RATE_HZ)
    loud = np.flatnonzero(np.abs(wave) > np.abs(wave).max() / 50)
    return scaled(wave[loud[0] : loud[-1]], -20)


def scaled(wave: Wave, db: float) -> Wave:
    """``wave`` at an RMS of ``db`` dBFS over its sounding parts."""
    parts = wave[np.abs(wave) > np.abs(wave).max() / 50]
    rms = float(np.sqrt(np.mean(parts**2))) if len(parts) else 1.0
    return wave * (32768 * 10 ** (db / 20) / rms)


def quiet(ms: int) -> Wave:
    return np.zeros(RATE_HZ * ms // 1000)


def tones(ms: int, *hz: float) -> Wave:
    """Sines of equal level together, with 4 ms of fading at both ends."""
    t = np.arange(RATE_HZ * ms // 1000) / RATE_HZ
    wave = sum((np.sin(2 * np.pi * f * t) for f in hz), start=np.zeros(len(t)))
    ramp = np.minimum(1, np.minimum(np.arange(len(t)), np.arange(len(t))[::-1]) / 32)
    return scaled(wave * ramp, -20)


def modulated(ms: int, hz: float, by_hz: float) -> Wave:
    """India's ringing: 400 Hz modulated by 25 Hz."""
    t = np.arange(RATE_HZ * ms // 1000) / RATE_HZ
    return scaled(np.sin(2 * np.pi * hz * t) * np.cos(np.pi * by_hz * t), -20)


def music(seed: int, ms: int = 8000) -> Wave:
    """Chords of notes with overtones, plucked twice a second."""
    random = np.random.default_rng(seed)
    pieces = []
    for _ in range(ms // 500):
        t = np.arange(RATE_HZ // 2) / RATE_HZ
        root = 220 * 2 ** (random.integers(0, 12) / 12)
        notes = [root * 2 ** (step / 12) * k for step in (0, 4, 7) for k in (1, 2, 3)]
        fading = np.exp(-2 * t)
        pieces.append(sum(np.sin(2 * np.pi * f * t) * fading for f in notes))
    return scaled(np.concatenate(pieces), -20)


def line(wave: Wave, db: float, noise_db: float, seed: int = 0) -> bytes:
    """``wave`` (made at -20 dBFS) at ``db`` through µ-law with line noise, L16 in whole frames."""
    noise = np.random.default_rng(seed).normal(0, 32768 * 10 ** (noise_db / 20), len(wave))
    loud = wave * 10 ** ((db + 20) / 20) + noise
    size = frame_bytes(RATE_HZ)
    pcm = ulaw_decode(ulaw_encode(loud.clip(-32768, 32767).astype("<i2").tobytes()))
    return pcm[: len(pcm) // size * size]


# --- the corpus -----------------------------------------------------------------------------------


def cases() -> Iterator[Case]:
    """Every kind of answer, before level and noise."""
    for voice in VOICES:
        for text in SHORT:
            said = speech(text, voice)
            sound = np.concatenate((quiet(400), said, quiet(4000)))
            yield Case("person, short", sound, "human", None, 400 + len(said) // 8)
        for number, text in enumerate(LONG):
            hz, ms = BEEPS[(number + len(voice)) % len(BEEPS)]
            said = np.concatenate((quiet(500), speech(text, voice), quiet(700), tones(ms, hz)))
            sound = np.concatenate((said, quiet(2000)))
            yield Case("machine, greeting and beep", sound, "machine", len(said) // 8)
        for text in BUSINESS:
            sound = np.concatenate((quiet(300), speech(text, voice), quiet(3000)))
            yield Case(HARD[0], sound, "human")
    for number, voice in enumerate(VOICES):
        hz, ms = BEEPS[number % len(BEEPS)]
        said = np.concatenate((quiet(500), speech(TERSE, voice), quiet(400), tones(ms, hz)))
        sound = np.concatenate((said, quiet(2000)))
        yield Case(HARD[1], sound, "machine", len(said) // 8)
    for hz, ms in BEEPS:
        sound = np.concatenate((quiet(600), tones(ms, hz), quiet(4000)))
        who = "uncertain" if hz == 440 else "machine"  # by itself it may be a ringing tone
        yield Case("beep alone", sound, who, None if hz == 440 else 600 + ms)
    yield from signals()


def signals() -> Iterator[Case]:
    """What no voice makes."""
    yield Case("silence", quiet(8000), "uncertain")
    for seed in range(4):
        yield Case("music", music(seed), "uncertain")
    for name, on, off, piece in (
        ("USA", 2000, 4000, tones(2000, 440, 480)),
        ("UK", 400, 200, tones(400, 400, 450)),
        ("EU", 1000, 4000, tones(1000, 425)),
        ("India", 400, 200, modulated(400, 400, 25)),
    ):
        sound = np.tile(np.concatenate((piece, quiet(off))), 1 + 9000 // (on + off))
        yield Case(f"ringing, {name}", sound, "uncertain")
    keys = [tones(150, low, high) for low in (697, 941) for high in (1209, 1477)]
    yield Case("DTMF", np.concatenate([quiet(500), *keys, quiet(6000)]), "uncertain")
    cng = np.concatenate((quiet(800), tones(500, 1100), quiet(3000)))
    yield Case("fax, calling", np.tile(cng, 2), "machine")
    yield Case("fax, answering", np.concatenate((quiet(400), tones(3000, 2100))), "machine")
    sit = [tones(330, hz) for hz in (950, 1400, 1800)]
    yield Case("intercept", np.concatenate([quiet(300), *sit, quiet(4000)]), "machine")


# --- the detector ---------------------------------------------------------------------------------


class Detector:
    """Silero over a whole call at once; speech begins at 0.5 and ends at 0.35, as in a call."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model_path()), options)

    def frames(self, pcm: bytes) -> list[bool]:
        """For every 20 ms frame, whether the detector (as far as it has heard) hears speech."""
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
        context = np.zeros((1, CONTEXT_SAMPLES), np.float32)
        state = np.zeros((2, 1, STATE_SIZE), np.float32)
        heard, speaking = [False], False
        for begin in range(0, len(samples) - CHUNK_SAMPLES + 1, CHUNK_SAMPLES):
            chunk = samples[None, begin : begin + CHUNK_SAMPLES]
            inputs = {"input": np.concatenate((context, chunk), axis=1), "state": state}
            scores, state = self._session.run(None, {**inputs, "sr": np.array(RATE_HZ, np.int64)})
            context = chunk[:, -CONTEXT_SAMPLES:]
            speaking = float(scores[0, 0]) >= (0.35 if speaking else 0.5)
            heard.append(speaking)
        ends = np.arange(1, len(pcm) // frame_bytes(RATE_HZ) + 1) * 160 // CHUNK_SAMPLES
        return [heard[min(int(end), len(heard) - 1)] for end in ends]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was made of one call."""

    verdict: Verdict | None
    at_ms: int
    beep_at_ms: int | None
    """When a beep was told of, with the verdict or after it."""


def judge(pcm: bytes, speech_of: Callable[[bytes], list[bool]]) -> Outcome:
    """Run one call through :class:`Answering`."""
    answering, size = Answering(RATE_HZ), frame_bytes(RATE_HZ)
    first, at_ms, beep_at_ms = None, 0, None
    for number, heard in enumerate(speech_of(pcm)):
        told = answering.feed(pcm[number * size : (number + 1) * size], heard)
        if told is not None and first is None:
            first, at_ms = told, (number + 1) * 20
        if told is not None and told.beep:
            beep_at_ms = (number + 1) * 20
    return Outcome(first, at_ms, beep_at_ms)


# --- the table ------------------------------------------------------------------------------------


def run(every: int = 1) -> list[tuple[Case, Outcome]]:
    """Judge every ``every``-th call of the corpus."""
    detector = Detector()
    made = [
        (case, line(case.sound, db, min(noise, db - SNR_DB), seed))
        for seed, case in enumerate(cases())
        for db in LEVELS_DB
        for noise in NOISES_DB
    ][::every]
    return [(case, judge(pcm, detector.frames)) for case, pcm in made]


def is_right(case: Case, outcome: Outcome) -> bool:
    """Whether the verdict is the case's, and a beep that there is was told of in time."""
    if outcome.verdict is None or outcome.verdict.who != case.who:
        return False
    if case.beep_end_ms is None:
        return True
    return outcome.beep_at_ms is not None and 0 <= outcome.beep_at_ms - case.beep_end_ms <= 250


def table(results: list[tuple[Case, Outcome]]) -> str:
    """Right and wrong by kind."""
    lines = [f"{'kind':30} calls right  verdicts"]
    for kind in dict.fromkeys(case.kind for case, _ in results):
        mine = [(case, outcome) for case, outcome in results if case.kind == kind]
        right = sum(is_right(case, outcome) for case, outcome in mine)
        told = Counter(
            f"{o.verdict.who} ({o.verdict.sign})" if o.verdict else "none" for _, o in mine
        )
        names = ", ".join(f"{n} {name}" for name, n in told.most_common())
        lines.append(f"{kind:30} {len(mine):5} {right:5}  {names}")
    return "\n".join(lines)


def waits_ms(results: list[tuple[Case, Outcome]]) -> list[int]:
    """How long after their greeting people were known as such."""
    return sorted(
        outcome.at_ms - case.greeting_end_ms
        for case, outcome in results
        if case.greeting_end_ms is not None and is_right(case, outcome)
    )


def cost_us(sound: Wave) -> float:
    """What a frame costs, in µs: the median of a hundred rounds."""
    pcm, size = line(sound, -20, -60), frame_bytes(RATE_HZ)
    frames = [pcm[i : i + size] for i in range(0, len(pcm), size)]
    rounds = []
    for _ in range(100):
        answering, begin = Answering(RATE_HZ), time.perf_counter()
        for frame in frames:
            answering.feed(frame, True)
        rounds.append((time.perf_counter() - begin) / len(frames))
    return float(np.median(rounds)) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="How often answering-machine detection is right.")
    parser.add_argument("--every", type=int, default=1, help="judge every n-th call only")
    results = run(parser.parse_args().every)
    print(table(results))
    waits = waits_ms(results)
    p95 = waits[int(len(waits) * 0.95)]
    print(f"a person is known {np.median(waits):.0f} ms after a short greeting (p95 {p95})")
    print(f"a frame costs {cost_us(speech(LONG[0], 'slt')):.0f} µs of speech, "
          f"{cost_us(tones(2000, 1000)):.0f} µs of tone")  # fmt: skip


if __name__ == "__main__":
    main()
