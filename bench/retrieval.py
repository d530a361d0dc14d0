"""How long a search takes inside a call, and how often it is right.

    python -m bench.retrieval [--rounds 8] [--passages 100000]

Starts its own embedded Postgres and embedding server. Each search is what a worker does: the
question is embedded over HTTP, both lists are found and fused in Postgres; no question is asked
twice, for its vector would be kept. Without --passages: the sample knowledge, its quality and times.
With it: as many of Debian's package descriptions (see bench/recall.py), a second large base beside
them and the sample as a small one; also what a worker holds of them. ``think``: ten calls
that each ask every 0.5 to 2 s; the other lines: so many searches under way at any time. Prints a
table; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import aiohttp
import numpy as np
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.embedder import HttpEmbedder
from appliance.engines.pool import Pool
from appliance.knowledge.answers import extract
from appliance.knowledge.ingest import load
from appliance.knowledge.search import Result, Search
from appliance.store.database import open_engine
from appliance.store.passages import Scope
from bench.debian import FOLDER, collection, vectors
from bench.large import BASE, postgres, write_large
from tests.knowledge_servers import KEY, EmbedProcess
from tests.sunrise_questions import CALIBRATION, HELD_OUT, OFF_CALIBRATION, OFF_HELD_OUT

NAME = "sunrise-broadband"
SCOPE = Scope(NAME, 1)
SAMPLE = Path("appliance/samples/sunrise-broadband.md")
DEADLINE_MS = 60
"""The default of worker.search_deadline_ms."""
PATIENT_MS = 2000
"""A deadline that does not cut the times measured."""
WARM_UP = 40
AT_ONCE = (1, 4, 10)
"""Searches under way together; 50 calls of which each asks every 10 s make 5 a second."""
CALLS = 10
THINK_S = (0.5, 2.0)
LARGE_QUESTIONS = 1000


async def _searches(
    search: Search,
    scope: Scope,
    questions: Sequence[str],
    at_once: int,
    think_s: tuple[float, float] = (0, 0),
) -> list[Result]:
    """All questions, ``at_once`` callers asking one after another, with pauses of ``think_s``."""
    waiting = iter(questions)
    results: list[Result] = []
    chance = random.Random(5)

    async def one_after_another() -> None:
        for question in waiting:
            if think_s[1]:
                await asyncio.sleep(chance.uniform(*think_s))
            results.append(await search.explain(scope, question, PATIENT_MS))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_another())
    return results


async def _quality(search: Search) -> dict[str, float]:
    inside = CALIBRATION + HELD_OUT
    first = answered = 0
    for question, heading, phrase in inside:
        found = (await search.explain(SCOPE, question, PATIENT_MS)).passages
        first += bool(found) and found[0].heading == heading
        answered += phrase.lower() in (extract(question, found) or "").lower()
    outside = OFF_CALIBRATION + OFF_HELD_OUT
    silent = 0
    for question in outside:
        found = (await search.explain(SCOPE, question, PATIENT_MS)).passages
        silent += extract(question, found) is None
    return {
        "questions": len(inside),
        "right_passage_first": round(first / len(inside), 3),
        "answer_has_the_fact": round(answered / len(inside), 3),
        "off_topic": len(outside),
        "off_topic_unanswered": round(silent / len(outside), 3),
    }


def _line(name: str, results: Sequence[Result]) -> dict[str, float]:
    total = [result.total_ms for result in results]
    embed = [result.embed_ms for result in results]
    p50, p95, p99, worst = (round(float(ms), 2) for ms in np.percentile(total, (50, 95, 99, 100)))
    line = {
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "max_ms": worst,
        "embed_p50_ms": round(float(np.median(embed)), 2),
        "in_time": round(float(np.mean(np.array(total) <= DEADLINE_MS)), 4),
        "hybrid": round(sum(r.source == "hybrid" for r in results) / len(results), 4),
    }
    cells = "".join(f"{value:>12}" for value in line.values())
    print(f"{name:>16}{len(results):>10}{cells}", flush=True)
    return line


def _header() -> None:
    names = ("p50 ms", "p95 ms", "p99 ms", "max ms", "embed p50", "in 60 ms", "hybrid")
    print(f"{'at once':>16}{'searches':>10}" + "".join(f"{name:>12}" for name in names))


async def _sample(engine: AsyncEngine, embedder: HttpEmbedder, rounds: int) -> dict[str, object]:
    loaded = await load(engine, embedder, NAME, [SAMPLE])
    search = Search(engine, embedder)
    await search.preload(NAME, loaded.version)
    asked = [question for question, *_ in CALIBRATION + HELD_OUT]
    quality = await _quality(search)
    _header()
    times: dict[str, object] = {}
    for at_once in AT_ONCE:
        name = str(at_once)
        warm = [f"{question} {name}" for question in asked]
        await _searches(search, SCOPE, warm[:WARM_UP], at_once)
        questions = [f"{question} {name} {turn}" for turn in range(rounds) for question in asked]
        times[name] = _line(name, await _searches(search, SCOPE, questions, at_once))
    await search.close()
    return {"passages": loaded.passages, "quality": quality, "at_once": times}


async def _large(
    engine: AsyncEngine, embedder: HttpEmbedder, passages: int, copies: Path
) -> dict[str, object]:
    texts = collection(passages)
    scope = Scope(BASE, 1)
    written = await write_large(
        engine, texts, vectors(texts.texts, FOLDER, "passages"), beside=True
    )
    search = Search(engine, embedder, copies)
    begin, own = perf_counter(), _own_mb()
    await search.preload(BASE, 1)
    held = {"preload_s": round(perf_counter() - begin, 1), "own_mb": round(_own_mb() - own, 1)}
    held["copy_mb"] = _size_mb(copies)
    again = Search(engine, embedder, copies)
    begin = perf_counter()
    await again.preload(BASE, 1)
    held["preload_again_s"] = round(perf_counter() - begin, 2)
    await again.close()
    print(f"{len(texts.texts)} passages: {held}", flush=True)
    _header()
    # questions of one run are none of another: their vectors would be kept
    drawn = [p.short for p in texts.questions(LARGE_QUESTIONS * (len(AT_ONCE) + 2))]
    batches = [drawn[n::5] for n in range(5)]
    await _searches(search, scope, batches[4][:WARM_UP], CALLS)
    times: dict[str, object] = {}
    think = await _searches(search, scope, batches[3][:400], CALLS, THINK_S)
    times["think"] = _line("think", think)
    for at_once, questions in zip(AT_ONCE, batches, strict=False):
        times[str(at_once)] = _line(
            str(at_once), await _searches(search, scope, questions, at_once)
        )
    await search.preload(NAME, 1)
    small = [f"{question} {n}" for n in range(4) for question, *_ in CALIBRATION + HELD_OUT]
    await _searches(search, SCOPE, small[:WARM_UP], 1)
    times["small beside"] = _line(
        "small beside", await _searches(search, SCOPE, small[WARM_UP:], 1)
    )
    quality = await _quality(search)
    await search.close()
    return {
        "passages": len(texts.texts),
        "write_s": written.write_s,
        "index_s": written.index_s,
        "held": held,
        "at_once": times,
        "small_quality": quality,
    }


def _size_mb(folder: Path) -> float:
    return round(sum(file.stat().st_size for file in folder.iterdir()) / 1e6, 1)


def _own_mb() -> float:
    """Memory of this process that it shares with no other."""
    rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith("Private_")) / 1000


async def _measure(
    url: str, embed_url: str, folder: Path, rounds: int, passages: int
) -> dict[str, object]:
    engine = open_engine(url)
    async with aiohttp.ClientSession() as http:
        embedder = HttpEmbedder(Pool("embed", (embed_url,), http, lambda url: KEY), http, 2000)
        found: dict[str, object] = {"load_before": round(os.getloadavg()[0], 2)}
        found["sample"] = await _sample(engine, embedder, rounds)
        if passages:
            found["large"] = await _large(engine, embedder, passages, folder / "copies")
    await engine.dispose()
    found["load_after"] = round(os.getloadavg()[0], 2)
    found["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
    return found


def main() -> None:
    """Start the servers, measure, print, stop them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8, help="Times each question is asked.")
    parser.add_argument("--passages", type=int, default=0, help="Of a large base; 0: the sample.")
    given = parser.parse_args()
    with postgres() as (url, folder):
        (folder / "copies").mkdir()
        with EmbedProcess(folder / "embed") as embed:
            found = asyncio.run(_measure(url, embed.url, folder, given.rounds, given.passages))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
