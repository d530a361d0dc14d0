"""What batching phrases of many calls buys: streams a process carries, and the first sound.

    IVR_TEST_TTS_PYTHON=… python -m bench.batching_tts [--size emulated,tiny,full] [--streams 1,16]

``emulated`` needs nothing: the product's schedule over a model that takes as long as a GPU is declared
to (``EMULATED`` below). The other sizes need a Python with the extra ``tts`` (docs/engines-tts.md):
voices of random weights are made in the published form; what they say is noise, what they cost is the
same. Two loads for each way:

* saturated: each stream asks for its next phrase as soon as it has one; streams = seconds of speech
  made in a second, which is what a process carries at most. Real models are compared by seconds of
  speech a second of CPU time, which a busy machine does not change.
* paced: each stream asks for its next phrase when the last one has been played; first sound p50 and
  p95, and how often somebody would have heard a gap.

Ways: ``batched`` is the product; ``singly`` the same with one phrase in a batch; ``coqui`` is Coqui's
own inference, one whole phrase after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from appliance.models.chunk_plan import Window
from appliance.models.model_watch import ModelWatch
from appliance.models.shaping import Wave
from appliance.models.speech_batches import SpeechBatches
from appliance.models.speech_model import Letters, Spectrogram
from appliance.models.speech_schedule import GPU, SINGLY, Limits
from appliance.models.speech_text import pieces

PHRASES = (
    "जी हाँ.",
    "नमस्ते, मैं आपकी क्या मदद कर सकती हूँ?",
    "आपका बिल पाँच सौ निन्यानवे रुपये है.",
    "कृपया अपना राउटर बंद करके दो मिनट बाद फिर चालू करें.",
    "एक क्षण रुकिए, मैं देखती हूँ.",
    "परिवार योजना सात सौ निन्यानवे रुपये महीने की है, और उसमें तीन फ़ोन शामिल हैं.",
    "माफ़ कीजिए, मैं समझ नहीं पाई.",
    "क्या मैं और कुछ मदद कर सकती हूँ?",
)
SIZES = {  # hidden channels, inner, layers, vocoder channels
    "tiny": (32, 48, 2, 32),
    "small": (128, 256, 4, 64),
    "full": (512, 1024, 6, 512),
}
WAYS = ("coqui", "singly", "batched")
EMULATED = {"spectrogram": (0.006, 0.000_01), "sound": (0.004, 0.000_01)}
"""Seconds a batch, and seconds a padded letter or frame in it: the launch of some 300 and 200 kernels,
and 40 GFLOP a second of speech at 50 TFLOP/s. Arithmetic, not a measurement."""


@dataclass
class Counted:
    """What a run came to."""

    speech_s: float = 0.0
    firsts_ms: list[float] = field(default_factory=list)
    phrases: int = 0
    gaps: int = 0

    def line(self, wall_s: float, cpu_s: float) -> dict[str, Any]:
        ordered = sorted(self.firsts_ms)
        return {
            "streams": round(self.speech_s / wall_s, 2),
            "streams_a_core": round(self.speech_s / cpu_s, 2),
            "phrases": self.phrases,
            "first_p50_ms": round(ordered[len(ordered) // 2], 1) if ordered else None,
            "first_p95_ms": round(ordered[int(len(ordered) * 0.95)], 1) if ordered else None,
            "gaps": self.gaps,
        }


def inside(arguments: argparse.Namespace) -> None:
    """In the Python that has Coqui: measure one size, print one JSON object a line."""
    from tests.tiny_coqui import Size, make

    with tempfile.TemporaryDirectory() as folder:
        voice = make(Path(folder), "hi", Size(*SIZES[arguments.size]))
        for row in measured(arguments, voice, WAYS):
            print(json.dumps(row), flush=True)


def measured(
    arguments: argparse.Namespace, voice: Path | None, ways: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """Every way, number of streams and load."""
    for way in ways:
        for streams in map(int, arguments.streams.split(",")):
            for paced in (False, True):
                if way == "coqui" and (paced or streams > 1):
                    continue  # one after the other, whoever waits
                counted, *took = asyncio.run(_measure(voice, way, streams, paced, arguments))
                kind = "paced" if paced else "saturated"
                row = {"size": arguments.size, "way": way, "at": streams, "load": kind}
                yield row | counted.line(*took)


async def _measure(
    voice: Path | None, way: str, streams: int, paced: bool, arguments: argparse.Namespace
) -> tuple[Counted, float, float]:
    """What was counted, seconds, and seconds of CPU time."""
    if way == "coqui":
        assert voice
        return _coquis_own(voice, arguments)
    limits = SINGLY if way == "singly" else None
    engine = _engine(voice, limits, arguments) if voice else EmulatedEngine(limits or GPU)
    counted = Counted()
    await _streams(engine, Counted(), streams, False, min(2.0, arguments.seconds))  # finds its pace
    began, cpu = time.monotonic(), time.process_time()
    await _streams(engine, counted, streams, paced, arguments.seconds)
    return counted, time.monotonic() - began, time.process_time() - cpu


def _engine(voice: Path, limits: Limits | None, arguments: argparse.Namespace) -> Any:
    from appliance.models.coqui import CoquiEngine
    from appliance.models.engine import ModelOptions

    options = ModelOptions(device=arguments.device, compute_type=arguments.compute_type)
    return CoquiEngine(voice, options, limits)


class Declared:
    """A model that takes as long as it is declared to, and makes silence."""

    reach = 15
    frame_s = 256 / 22_050

    def letters(self, text: str, speaker: str) -> Letters:
        return Letters(tuple(map(ord, text)), speaker)

    def spectrograms(self, batch: Sequence[Letters]) -> list[Spectrogram]:
        self._take("spectrogram", [len(letters.ids) for letters in batch])
        return [Spectrogram(None, 6 * len(letters.ids) + 10) for letters in batch]

    def waves(self, batch: Sequence[tuple[Spectrogram, Window]]) -> list[Wave]:
        self._take("sound", [window.length for _, window in batch])
        return [np.zeros(window.heard * 256, np.float32) for _, window in batch]

    def _take(self, kind: str, lengths: Sequence[int]) -> None:
        once, each = EMULATED[kind]
        time.sleep(once + each * max(lengths) * len(lengths))


class EmulatedEngine:
    """The product's batches over a declared model."""

    rate_hz = 22_050

    def __init__(self, limits: Limits) -> None:
        self._model = Declared()
        self._thread = ThreadPoolExecutor(1)
        self._batches = SpeechBatches({"hi": self._model}, self._execute, ModelWatch(), limits)

    async def _execute(self, compute: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, compute)

    async def speak(self, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        letters = [self._model.letters(piece, voice) for piece in pieces(text)]
        async with aclosing(self._batches.speak("hi", letters)) as waves:
            async for wave in waves:
                yield bytes(2 * len(wave))


async def _streams(engine: Any, counted: Counted, count: int, paced: bool, seconds: float) -> None:
    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(_stream(engine, counted, random.Random(number), paced, end))


async def _stream(
    engine: Any, counted: Counted, draw: random.Random, paced: bool, end: float
) -> None:
    if paced:
        await asyncio.sleep(draw.uniform(0, 2))
    while (asked := time.monotonic()) < end:
        text, voice = draw.choice(PHRASES), draw.choice(("hi-female", "hi-male"))
        played_until = 0.0
        async with aclosing(engine.speak(text, voice)) as chunks:
            async for chunk in chunks:
                now, length_s = time.monotonic(), len(chunk) / 2 / engine.rate_hz
                if not played_until:
                    counted.firsts_ms.append((now - asked) * 1000)
                elif now > played_until:
                    counted.gaps += 1
                played_until = max(now, played_until) + length_s
                counted.speech_s += length_s
        counted.phrases += 1
        if paced:
            await asyncio.sleep(max(0.0, played_until - time.monotonic()) + draw.uniform(0, 0.5))


def _coquis_own(voice: Path, arguments: argparse.Namespace) -> tuple[Counted, float, float]:
    """Coqui's ``inference`` of both models, phrase after phrase."""
    import torch

    from appliance.models.coqui_files import acoustic_model, vocoder_model
    from appliance.models.voice_folder import voice_folders

    (folder,) = voice_folders(voice, ())
    wanted = arguments.device
    device = wanted if wanted != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    model, generator = acoustic_model(folder).to(device), vocoder_model(folder)[0].to(device)
    counted, draw, began, cpu = Counted(), random.Random(1), 0.0, 0.0
    for warm in (True, False):
        began, cpu, counted = time.monotonic(), time.process_time(), Counted()
        while time.monotonic() - began < (1 if warm else arguments.seconds):
            asked = time.monotonic()
            ids = model.tokenizer.text_to_ids(draw.choice(PHRASES), language="hi")
            aux = {
                "d_vectors": None,
                "speaker_ids": torch.tensor([draw.randrange(2)], device=device),
            }
            mel = model.inference(torch.tensor([ids], device=device), aux)["model_outputs"]
            wave = generator.inference(mel.transpose(1, 2)).cpu()
            counted.firsts_ms.append((time.monotonic() - asked) * 1000)
            counted.speech_s += wave.shape[-1] / 22_050
            counted.phrases += 1
    return counted, time.monotonic() - began, time.process_time() - cpu


def outside(arguments: argparse.Namespace) -> dict[str, Any]:
    """Every size, the real ones in the Python that has Coqui."""
    rows: list[dict[str, Any]] = []
    for size in arguments.size.split(","):
        arguments.size = size
        found = measured(arguments, None, WAYS[1:]) if size == "emulated" else _child(arguments)
        for row in found:
            rows.append(row)
            print(
                f"{row['size']:8} {row['way']:8} {row['load']:10} {row['at']:3} streams: carries "
                f"{row['streams']:7.2f} ({row['streams_a_core']:.2f} a core), first sound p50 "
                f"{row['first_p50_ms']} p95 {row['first_p95_ms']} ms, {row['gaps']} gaps in "
                f"{row['phrases']} phrases"
            )
    return {"rows": rows, "ratios": _ratios(rows)}


def _child(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    command = [
        arguments.python, "-W", "ignore", "-m", "bench.batching_tts", "--inside",
        "--size", arguments.size, "--streams", arguments.streams,
        "--seconds", str(arguments.seconds), "--device", arguments.device,
        "--compute-type", arguments.compute_type,
    ]  # fmt: skip
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout
        for line in run.stdout:
            yield json.loads(line)
    if run.returncode:
        sys.exit(f"{arguments.python} ended with status {run.returncode}.")


def _ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Saturated, batched against the others, by size, number of streams and way."""
    by = {}
    for row in rows:
        if row["load"] == "saturated":
            figure = "streams" if row["size"] == "emulated" else "streams_a_core"
            by[row["size"], row["way"], row["at"]] = row[figure]
    return {
        f"{size}/{at}/{way}": round(by[size, "batched", at] / by.get((size, way, at), alone), 2)
        for (size, batched, at) in by
        if batched == "batched"
        for way in WAYS[:2]
        if (alone := by.get((size, way, at)) or by.get((size, way, 1)))
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="emulated,tiny,full")
    parser.add_argument("--streams", default="1,16")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "cpu"])
    parser.add_argument("--compute-type", default="")
    parser.add_argument("--python", default=os.environ.get("IVR_TEST_TTS_PYTHON", sys.executable))
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(arguments)
        return
    found = outside(arguments)
    for name, ratio in found["ratios"].items():
        size, at, way = name.split("/")
        print(f"{size}: batching carries {ratio:.1f} times the streams of {way}, at {at} streams")
    print("On a GPU, in the environment of the extra tts:")
    print(
        "  python -m bench.batching_tts --python python --size full --device cuda --streams 1,16,50"
    )
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
