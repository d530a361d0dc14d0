"""How many streams one process hears when decodes of many calls run together, and one by one.

    python -m bench.batching_stt [--streams 16] [--engine emulated,wav2vec2,whisper] [--seconds 12]

Sessions of the engine itself, without sockets. First every stream asks for its next decode as soon
as its last one is there, which gives decodes a second: with batches as they are shipped, and with
batches of one. Their ratio is the ratio of streams that a process can carry. Then the streams speak
in real time, and a partial's and a final's delay are measured. Prints a table; the last line is one
JSON object.

``emulated`` declares what a run costs: 20 ms and 1 ms more for each item, as of a GPU.
``wav2vec2`` and ``whisper`` are real, of random weights (``--size``): they need the environment of
the extras `stt` and `wav2vec2`. On a GPU, production sizes:

    python -m bench.batching_stt --engine whisper --size medium --device cuda --streams 48
    python -m bench.batching_stt --engine wav2vec2 --size large --device cuda --streams 48
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from appliance.models.batching import Batcher, Bounds
from appliance.models.engine import ModelOptions, Words
from appliance.models.session import BatchedSession

RATE_HZ = 8000
FRAME_MS = 20
SPOKEN_MS = 3000
"""Length of a caller's turn in telephone dialogues, the middle of it."""
PAUSE_MS = 500
RUN_S, ITEM_S = 0.020, 0.001
EVERY_MS = 300
WARM_S = 0.5
ROUNDS = 3
"""Of each way, in turns; the best counts: what else the machine does only ever slows one down."""


@dataclass(frozen=True)
class Bench:
    """An engine under test: begin an utterance, run a batch."""

    name: str
    begin: Callable[[], Any]
    run: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
    bounds: Bounds
    every_ms: int


@dataclass(frozen=True)
class EmulatedItem:
    audio_ms: int
    whole: bool
    group: int = 0
    cost: float = 1.0


class EmulatedUtterance:
    """Words that grow with the audio."""

    def feed(self, pcm: bytes) -> None:
        pass

    def item(self, audio_ms: int, whole: bool) -> EmulatedItem:
        return EmulatedItem(audio_ms, whole)

    def take(self, item: EmulatedItem, result: str, sound_ms: int) -> str:
        return result

    async def words(self, item: EmulatedItem, result: str, sound_ms: int) -> Words:
        return Words(result, 1.0)


async def emulated_run(items: Sequence[EmulatedItem]) -> list[str]:
    await asyncio.sleep(RUN_S + ITEM_S * len(items))
    return ["word " * (item.audio_ms // 300) for item in items]


def emulated(arguments: argparse.Namespace, folder: Path) -> Bench:
    bounds = Bounds(items=16, cost=100, waiting=200, run_s=5)
    return Bench("emulated GPU", EmulatedUtterance, emulated_run, bounds, EVERY_MS)


def wav2vec2(arguments: argparse.Namespace, folder: Path) -> Bench:
    from appliance.models import wav2vec2 as engine
    from appliance.models.wav2vec2_model import Wav2Vec2
    from tests.tiny_wav2vec2 import SHAPES, make

    made = make(folder, shape=SHAPES[arguments.size])
    model = Wav2Vec2(ModelOptions(str(made), arguments.device), made)
    device = model.device
    items = arguments.batch or engine.BATCH_ITEMS[device]
    bounds = Bounds(items, engine.BATCH_MS[device], 200, 60)
    return Bench(
        f"wav2vec2, {arguments.size}, {device}",
        lambda: engine.CtcUtterance(model, (), RATE_HZ),
        model.decode,
        bounds,
        engine.PARTIAL_EVERY_MS[device],
    )


def whisper(arguments: argparse.Namespace, folder: Path) -> Bench:
    from appliance.models import whisper as engine
    from appliance.models.faster_whisper import FasterWhisper
    from tests.tiny_whisper import SHAPES, make

    made = make(folder, shape=SHAPES[arguments.size])
    model = FasterWhisper(ModelOptions(str(made), arguments.device), made)
    device, hearing = model.device, engine.Hearing(RATE_HZ, "hi", (), model.mels)
    items = arguments.batch or engine.BATCH_ITEMS[device]
    bounds = Bounds(items, engine.BATCH_MS[device], 200, 60)
    return Bench(
        f"whisper, {arguments.size}, {device}",
        lambda: engine.WhisperUtterance(hearing),
        model.decode,
        bounds,
        engine.PARTIAL_EVERY_MS[device],
    )


ENGINES = {"emulated": emulated, "wav2vec2": wav2vec2, "whisper": whisper}


def speech(ms: int, seed: int) -> bytes:
    draw = np.random.default_rng(seed)
    samples = ms * RATE_HZ // 1000
    envelope = np.repeat(draw.uniform(0.3, 1.0, samples // 400 + 1), 400)[:samples]
    return (draw.normal(0, 3000, samples) * envelope).clip(-32768, 32767).astype("<i2").tobytes()


async def decodes_per_s(bench: Bench, streams: int, seconds: float) -> tuple[float, float]:
    """Decodes a second of ``streams`` that ask again at once, and the mean size of a batch."""
    runs: list[int] = []

    async def counted(items: Sequence[Any]) -> Sequence[Any]:
        results = await bench.run(items)
        runs.append(len(items))
        return results

    batcher: Batcher[Any, Any] = Batcher(counted, bench.bounds)
    ends = 0.0

    async def stream(seed: int) -> None:
        pcm = speech(SPOKEN_MS, seed)
        while time.perf_counter() < ends:
            utterance = bench.begin()
            step = bench.every_ms * RATE_HZ // 500
            for at in range(0, len(pcm), step):  # as a call does: a part more each time
                utterance.feed(pcm[at : at + step])
                heard_ms = min(len(pcm), at + step) * 500 // RATE_HZ
                decode = await batcher.partial(lambda u=utterance, ms=heard_ms: u.item(ms, False))
                utterance.take(decode.item, decode.result, heard_ms)
                if time.perf_counter() > ends:
                    return

    async def all_of_them(for_s: float) -> float:
        nonlocal ends
        began = time.perf_counter()
        ends = began + for_s
        runs.clear()
        await asyncio.gather(*map(stream, range(streams)))
        return time.perf_counter() - began

    await all_of_them(WARM_S)
    took_s = await all_of_them(seconds)
    return sum(runs) / took_s, sum(runs) / max(1, len(runs))


async def delays_ms(bench: Bench, streams: int) -> dict[str, float | None]:
    """In real time: how old the audio of a partial is when it is there, and when the final comes
    after the sound has ended and after it was asked for."""
    batcher: Batcher[Any, Any] = Batcher(bench.run, bench.bounds)
    loop = asyncio.get_running_loop()
    partials: list[float] = []
    ready: list[float] = []
    finals: list[float] = []

    async def stream(seed: int) -> None:
        session: BatchedSession[Any, Any] = BatchedSession(
            bench.begin, batcher, bench.every_ms, RATE_HZ
        )
        pcm = speech(SPOKEN_MS, seed) + bytes(PAUSE_MS * 16)
        await asyncio.sleep(seed * 0.31 % (SPOKEN_MS / 1000))
        session.start()
        began, ended_s = loop.time(), 0.0
        for number, at in enumerate(range(0, len(pcm), 320)):
            await asyncio.sleep(max(0.0, began + number * FRAME_MS / 1000 - loop.time()))
            told = await session.accept(pcm[at : at + 320])
            heard_ms = (number + 1) * FRAME_MS
            decode = session.best
            if decode is None:
                continue
            if told is not None and heard_ms < SPOKEN_MS:
                partials.append((loop.time() - began) * 1000 - decode.item.audio_ms)
            if decode.item.whole and decode.item.audio_ms >= SPOKEN_MS and not ended_s:
                ended_s = loop.time()
                ready.append((ended_s - began) * 1000 - SPOKEN_MS)
        asked = loop.time()
        await session.finish()
        finals.append((loop.time() - asked) * 1000)

    await asyncio.gather(*map(stream, range(streams)))
    return {
        "partial_age_p50_ms": quantile(partials, 0.5),
        "partial_age_p95_ms": quantile(partials, 0.95),
        "partials": len(partials),
        "final_ready_p50_ms": quantile(ready, 0.5),
        "final_ready_p95_ms": quantile(ready, 0.95),
        "final_wait_p95_ms": quantile(finals, 0.95),
    }


def quantile(values: Sequence[float], part: float) -> float | None:
    return round(float(np.quantile(values, part)), 1) if values else None


async def measure(bench: Bench, streams: int, seconds: float) -> dict[str, Any]:
    single = replace(bench, bounds=replace(bench.bounds, items=1))
    one = many = size = 0.0
    for _ in range(ROUNDS):
        one = max(one, (await decodes_per_s(single, streams, seconds / ROUNDS))[0])
        found, mean = await decodes_per_s(bench, streams, seconds / ROUNDS)
        many, size = max((many, size), (found, mean))
    partials_per_s = 1000 / bench.every_ms
    return {
        "engine": bench.name,
        "streams": streams,
        "alone_decodes_per_s": round(one, 1),
        "batched_decodes_per_s": round(many, 1),
        "mean_batch": round(size, 1),
        "ratio": round(many / one, 2),
        "speaking_streams_alone": round(one / partials_per_s, 1),
        "speaking_streams_batched": round(many / partials_per_s, 1),
        "alone": await delays_ms(single, streams),
        "batched": await delays_ms(bench, streams),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Streams of speech a process, batched or not.")
    parser.add_argument("--engine", default="emulated,wav2vec2,whisper")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--size", default="tiny", help="tiny, base, …: see tests/tiny_*.py")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "auto"])
    parser.add_argument("--batch", type=int, default=0, help="Most in a batch; 0: as shipped.")
    arguments = parser.parse_args()
    found = []
    for name in arguments.engine.split(","):
        with tempfile.TemporaryDirectory() as folder:
            try:
                bench = ENGINES[name](arguments, Path(folder))
            except ImportError as e:
                print(f"{name}: left out, {e}")
                continue
            found.append(asyncio.run(measure(bench, arguments.streams, arguments.seconds)))
        row = found[-1]
        print(
            f"{row['engine']}, {row['streams']} streams: {row['alone_decodes_per_s']} decodes/s one "
            f"by one, {row['batched_decodes_per_s']} in batches of {row['mean_batch']}: "
            f"{row['ratio']} times as many streams"
        )
        for way in ("alone", "batched"):
            values = ", ".join(f"{key} {value}" for key, value in row[way].items())
            print(f"  {way}: {values}")
    print(json.dumps({"batching_stt": found}))


if __name__ == "__main__":
    main()
