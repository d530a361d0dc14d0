"""What a caller's question waits for its vector: alone, with others, and while documents are ingested.

    python -m bench.embedding [--seconds 12] [--compute-type int8] [--at-once 10]

Starts its own ``ivr embed``. A question is asked as a worker asks it, over HTTP. The ingestion sends
passages as ingestion does, several requests of 16 at a time, for as long as the questions last. Prints
a table; the last line is one JSON object. Compare figures of one run only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter, thread_time

import aiohttp
import numpy as np

from appliance.engines.embedder import HttpEmbedder
from appliance.engines.pool import Pool
from appliance.models.encoder_session import Compute
from appliance.models.minilm import MiniLm
from tests.drafts_kit import drafts_of
from tests.knowledge_servers import KEY
from tests.serving import serving
from tests.sunrise_questions import CALIBRATION, HELD_OUT

SAMPLE = Path("appliance/samples/sunrise-broadband.md")
QUESTIONS = [question for question, _, _ in CALIBRATION + HELD_OUT]
PASSAGES_AT_ONCE = 16
REQUESTS_AT_ONCE = 2
"""Of an ingestion: the next one is there when the last one ends."""
TIMEOUT_MS = 10_000
WARM_UP = 20
TURNS = 8
CPU_COUNTS = (1, 4, 8, 10)
CPU_RUNS = 40
PAUSE_S = 0.05
"""Between two rounds of questions: callers do not ask without a break."""


def _texts() -> list[str]:
    """Passages of some 500 characters, as long documents give."""
    found = [f"{p.heading} {p.text}" for p in drafts_of(SAMPLE.read_text("utf-8"))]
    return [" ".join(found[n : n + 3])[:500] for n in range(len(found) - 2)]


async def _ingest(embedder: HttpEmbedder, done: list[int]) -> None:
    texts = _texts()
    batch = [texts[n % len(texts)] for n in range(PASSAGES_AT_ONCE)]
    while True:
        await embedder.embed(batch, "passage")
        done[0] += len(batch)


async def _ask(embedder: HttpEmbedder, seconds: float, at_once: int) -> list[float]:
    """Milliseconds of each question: rounds of ``at_once`` of them, sent in the same moment."""
    took: list[float] = []
    number = 0

    async def one(question: str) -> None:
        begin = perf_counter()
        await embedder.embed([question], "query")
        took.append((perf_counter() - begin) * 1000)

    end = perf_counter() + seconds
    while perf_counter() < end:
        asked = [QUESTIONS[(number + n) % len(QUESTIONS)] for n in range(at_once)]
        number += at_once
        await asyncio.gather(*(one(question) for question in asked))
        await asyncio.sleep(PAUSE_S)
    return took


def _line(name: str, took: Sequence[float], passages_s: float) -> dict[str, float | str]:
    p50, p95, p99 = (round(float(np.percentile(took, q)), 1) for q in (50, 95, 99))
    return {
        "load": name,
        "questions": len(took),
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "passages_per_s": round(passages_s, 1),
    }


async def measure(seconds: float, at_once: int, compute: str) -> list[dict[str, float | str]]:
    """A line for each load. They take turns, so that what else the machine does hits all alike."""
    loads = [(together, busy) for busy in (False, True) for together in (1, at_once)]
    took: dict[tuple[int, bool], list[float]] = {load: [] for load in loads}
    passages_s: dict[tuple[int, bool], list[float]] = {load: [] for load in loads}
    with tempfile.TemporaryDirectory() as folder:
        command = ("embed", "--compute-type", compute)
        async with serving(Path(folder), *command) as served, aiohttp.ClientSession() as http:
            embedder = HttpEmbedder(
                Pool("embed", (served.url,), http, lambda url: KEY), http, TIMEOUT_MS
            )
            for question in QUESTIONS[:WARM_UP]:
                await embedder.embed([question], "query")
            for _ in range(TURNS):
                for together, busy in loads:
                    asked, rate = await _turn(embedder, seconds / TURNS, together, busy)
                    took[together, busy] += asked
                    passages_s[together, busy].append(rate)
    return [
        _line(
            f"{together} at once{', while ingesting' * busy}",
            took[together, busy],
            float(np.mean(passages_s[together, busy])),
        )
        for together, busy in loads
    ]


async def _turn(
    embedder: HttpEmbedder, seconds: float, at_once: int, busy: bool
) -> tuple[list[float], float]:
    """Questions for some seconds, beside an ingestion or not; and its passages a second."""
    done = [0]
    number = REQUESTS_AT_ONCE if busy else 0
    ingesting = [asyncio.create_task(_ingest(embedder, done)) for _ in range(number)]
    begin = perf_counter()
    took = await _ask(embedder, seconds, at_once)
    rate = done[0] / (perf_counter() - begin)
    for task in ingesting:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return took, rate


def cpu(cache: Path, compute: Compute) -> dict[str, float]:
    """CPU time of one run in ms, median, by what is in it: it does not know who else is at work."""
    model = MiniLm(cache, compute=compute)
    took: dict[str, float] = {}
    for count in CPU_COUNTS:
        spent = []
        for begin in range(0, CPU_RUNS * count, count):
            texts = [QUESTIONS[(begin + n) % len(QUESTIONS)] for n in range(count)]
            start = thread_time()
            model.embed(texts)
            spent.append((thread_time() - start) * 1000)
        took[f"{count} questions"] = round(float(np.median(spent)), 1)
    spent = []
    for text in _texts()[:CPU_RUNS]:
        start = thread_time()
        model.embed([text])
        spent.append((thread_time() - start) * 1000)
    took["1 passage"] = round(float(np.median(spent)), 1)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description="What a question waits for its vector.")
    parser.add_argument("--seconds", type=float, default=12.0, help="Of each load.")
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--compute-type", choices=["float32", "int8"], default="float32")
    given = parser.parse_args()
    compute: Compute = "int8" if given.compute_type == "int8" else "float32"
    with tempfile.TemporaryDirectory() as cache:
        runs = cpu(Path(cache), compute)
    print("CPU ms of one run: " + ", ".join(f"{name} {ms}" for name, ms in runs.items()))
    lines = asyncio.run(measure(given.seconds, given.at_once, compute))
    print(f"{'':30} {'p50':>8} {'p95':>8} {'p99':>8}  passages/s")
    for line in lines:
        print(
            f"{line['load']:30} {line['p50_ms']:>5} ms {line['p95_ms']:>5} ms"
            f" {line['p99_ms']:>5} ms  {line['passages_per_s']}"
        )
    print(json.dumps({"compute_type": compute, "cpu_ms": runs, "loads": lines}))


if __name__ == "__main__":
    main()
