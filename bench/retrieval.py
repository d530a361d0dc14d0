"""How long a search takes inside a call, and how often it is right, on the sample knowledge.

    python -m bench.retrieval [--rounds 8]

Starts its own embedded Postgres and embedding server. Each search is what a worker does: the
question is embedded over HTTP, both lists are fused in Postgres. Prints a table; the last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import numpy as np

from appliance.engines.embedder import HttpEmbedder
from appliance.engines.pool import Pool
from appliance.knowledge.answers import extract
from appliance.knowledge.ingest import load
from appliance.knowledge.search import Result, Search
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.store.database import migrate, open_engine
from appliance.store.passages import Scope
from tests.conftest import embedded_settings
from tests.knowledge_servers import EmbedProcess
from tests.sunrise_questions import CALIBRATION, HELD_OUT, OFF_CALIBRATION, OFF_HELD_OUT

NAME = "sunrise-broadband"
SCOPE = Scope(NAME, 1)
SAMPLE = Path("appliance/samples/sunrise-broadband.md")
DEADLINE_MS = 60
"""The default of worker.search_deadline_ms."""
WARM_UP = 20
AT_ONCE = (1, 4, 10)
"""Searches under way together; 50 calls of which each asks every 10 s make 5 a second."""


async def _searches(search: Search, questions: Sequence[str], at_once: int) -> list[Result]:
    """All questions, ``at_once`` of them together at any time."""
    waiting = iter(questions)
    results: list[Result] = []

    async def one_after_another() -> None:
        for question in waiting:
            results.append(await search.explain(SCOPE, question, DEADLINE_MS))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_another())
    return results


async def _quality(search: Search) -> dict[str, float]:
    inside = CALIBRATION + HELD_OUT
    first = answered = 0
    for question, heading, phrase in inside:
        found = (await search.explain(SCOPE, question, 2000)).passages
        first += bool(found) and found[0].heading == heading
        answered += phrase.lower() in (extract(question, found) or "").lower()
    outside = OFF_CALIBRATION + OFF_HELD_OUT
    silent = 0
    for question in outside:
        found = (await search.explain(SCOPE, question, 2000)).passages
        silent += extract(question, found) is None
    return {
        "questions": len(inside),
        "right_passage_first": round(first / len(inside), 3),
        "answer_has_the_fact": round(answered / len(inside), 3),
        "off_topic": len(outside),
        "off_topic_unanswered": round(silent / len(outside), 3),
    }


def _line(at_once: int, results: Sequence[Result]) -> dict[str, float]:
    total = [result.total_ms for result in results]
    embed = [result.embed_ms for result in results]
    p50, p95, p99, worst = (round(float(ms), 2) for ms in np.percentile(total, (50, 95, 99, 100)))
    line = {
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "max_ms": worst,
        "embed_p50_ms": round(float(np.median(embed)), 2),
        "hybrid": round(sum(r.source == "hybrid" for r in results) / len(results), 4),
    }
    cells = "".join(f"{value:>13}" for value in line.values())
    print(f"{at_once:>8}{len(results):>10}{cells}")
    return line


async def _measure(url: str, embed_url: str, rounds: int) -> dict[str, object]:
    engine = open_engine(url)
    async with aiohttp.ClientSession() as http:
        embedder = HttpEmbedder(Pool("embed", (embed_url,), http), http, 2000)
        loaded = await load(engine, embedder, NAME, [SAMPLE])
        search = Search(engine, embedder)
        await search.preload(NAME, loaded.version)
        questions = [question for question, *_ in CALIBRATION + HELD_OUT] * rounds
        quality = await _quality(search)
        names = ("p50 ms", "p95 ms", "p99 ms", "max ms", "embed p50", "hybrid")
        print(f"{'at once':>8}{'searches':>10}" + "".join(f"{name:>13}" for name in names))
        times: dict[str, object] = {}
        for at_once in AT_ONCE:
            await _searches(search, questions[:WARM_UP], at_once)
            times[str(at_once)] = _line(at_once, await _searches(search, questions, at_once))
        await search.close()
    await engine.dispose()
    return {"passages": loaded.passages, "quality": quality, "at_once": times}


def main() -> None:
    """Start the servers, measure, print, stop them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="Times each question is asked.")
    rounds = parser.parse_args().rounds
    folder = Path(tempfile.mkdtemp(prefix="ivr-bench-", dir="/tmp"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(embedded_settings(folder))
    try:
        postgres.start()
        migrate(postgres.url)
        with EmbedProcess(folder / "embed") as embed:
            print(json.dumps(asyncio.run(_measure(postgres.url, embed.url, rounds))))
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
