"""What checking calls again costs: calls a second, and a run that finds nothing new.

    python -m bench.moderation [--calls 200] [--log 20000]

``--log``: calls of the past that were checked already, which a run must not look through. Real
Postgres, in a temporary folder; the rules are the built-in ones; each call has 20 turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time

from sqlalchemy import text

from appliance.events import Agent, CallRecord, Passage, Stages, Turn
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.review.moderation import moderate_new
from appliance.settings import Settings
from appliance.store.agents import publish_agent
from appliance.store.database import migrate, open_engine
from appliance.store.rows import upsert
from tests.conftest import embedded_settings

TALK = (
    ("what is the late fee", "The late fee is one hundred rupees if you pay after the tenth."),
    ("मेरा इंटरनेट नहीं चल रहा है", "Please switch the router off, wait ten seconds, and switch it on."),
    ("and how much is it", "The home plan costs five hundred and ninety nine rupees a month."),
    ("you are an idiot", "I am sorry to hear that. How else can I help you today?"),
)
PASSAGE = Passage("1", "faq.md", "Fee", " ".join(heard for _, heard in TALK), 0.8, cited=True)
TURNS = 20
IDLE_RUNS = 20


async def _fill(engine, agent: Agent, calls: int, log: int) -> None:  # type: ignore[no-untyped-def]
    """``log`` calls that were checked, without turns; ``calls`` that were not, with them."""
    now = datetime.now(UTC)
    rows: list[CallRecord | Turn] = []
    for number in range(calls + log):
        ended = now - timedelta(minutes=5 + number % 1000)
        call_id = f"call-{number}"
        rows.append(
            CallRecord(call_id, "1001", "+91", agent.id, 1, "en", ended, ended, "", "caller", TURNS)
        )
        for index in range(TURNS if number < calls else 0):
            said, heard = TALK[index % len(TALK)]
            at = 10_000 * index
            stages = Stages(at, at + 1500, first_frame=at + 2100)
            rows.append(
                Turn(call_id, index, ended, said, heard, heard, "llm", stages, 600, (PASSAGE,))
            )
    for begin in range(0, len(rows), 2000):
        async with engine.begin() as connection:
            await upsert(connection, rows[begin : begin + 2000])
    async with engine.begin() as connection:
        checked = text(
            "UPDATE calls SET moderated_at = now() WHERE split_part(call_id, '-', 2)::int >= :n"
        )
        await connection.execute(checked, {"n": calls})
    async with engine.connect() as connection:
        auto = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await auto.execute(text("VACUUM ANALYZE calls"))


async def _measure(url: str, calls: int, log: int) -> dict[str, object]:
    engine = open_engine(url)
    agent = await publish_agent(engine, Agent("asha", 1, "Asha"))
    await _fill(engine, agent, calls, log)
    settings = Settings.model_validate({"database": {"url": url}})
    begin, cpu_begin = perf_counter(), process_time()
    done = await moderate_new(engine, settings)
    whole_s, cpu_s = perf_counter() - begin, process_time() - cpu_begin
    begin = perf_counter()
    for _ in range(IDLE_RUNS):
        assert not await moderate_new(engine, settings)
    idle_ms = (perf_counter() - begin) * 1000 / IDLE_RUNS
    await engine.dispose()
    return {
        "calls": done.calls,
        "turns": done.calls * TURNS,
        "flags": done.flags,
        "ms_a_call": round(whole_s * 1000 / done.calls, 2),
        "cpu_ms_a_call": round(cpu_s * 1000 / done.calls, 2),
        "calls_a_second": round(done.calls / whole_s, 1),
        "log": log,
        "nothing_new_ms": round(idle_ms, 2),
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--log", type=int, default=20_000)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ivr-bench-", dir="/tmp"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(embedded_settings(folder))
    try:
        postgres.start()
        migrate(postgres.url)
        print(json.dumps(asyncio.run(_measure(postgres.url, given.calls, given.log))))
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
