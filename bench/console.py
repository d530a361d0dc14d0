"""How quick the log of calls is: its service, the API and the pages of a real ``ivr admin``.

    python -m bench.console                          # 10 000 calls of 10 turns
    python -m bench.console --calls 1000000 --turns 2 --rounds 10

Calls lie over 90 days, one in 50 is flagged; gaps are log-normal around 450 ms. Pages are asked for as
a browser does (HTTPS, a session's cookie), one after the other, each over another slice of the log.
The figures are ms, as p50 and p95 of ``--rounds`` askings after 3 that do not count; ``cpu`` is what
one asking costs ``ivr admin`` (and not Postgres): other programs on the machine do not change it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import httpx
import orjson
import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Role
from appliance.admin.gate import COOKIE
from appliance.events import Agent
from appliance.ops.demo.ear import percentile
from appliance.store.agents import publish_agent
from appliance.store.call_log import CallsWanted, count_calls, search_calls
from appliance.store.database import open_engine
from appliance.store.outcomes import Outcome
from bench.large import postgres
from tests.console_kit import ConsoleProcess, cookie, person

WARM_UPS = 3
_CALLS = """
INSERT INTO calls (call_id, did, caller, agent_id, agent_version, language, started_at, ended_at,
  cause, ended_by, turns, direction, recording, gap_p50_ms, gap_p95_ms)
SELECT 'call-' || n, '1800111' || n % 20, '+9198' || lpad((n::bigint * 7919 % 100000000)::text, 8, '0'),
  'agent' || n % 5, 1, (ARRAY['en', 'hi', 'ta'])[n % 3 + 1], at, at + interval '3 minutes',
  'NORMAL_CLEARING', (ARRAY['caller', 'agent', 'system'])[(n % 20) / 9 + 1], :turns,
  CASE WHEN n % 7 = 0 THEN 'out' ELSE 'in' END, CASE WHEN n % 2 = 0 THEN 'x.wav' ELSE '' END,
  (300 + 300 * random())::int,
  exp(6.3 + 0.5 * sqrt(-2 * ln(random() + 1e-9)) * cos(6.28 * random()))::int
FROM (SELECT n, now() - interval '90 days' * n / :calls AS at FROM generate_series(1, :calls) n) c
"""
_TURNS = """
INSERT INTO turns (call_id, index, at, said, reply, heard, source, stages, gap_ms, passages)
SELECT c.call_id, i, c.started_at + i * interval '10 s', repeat('what is the fee ', 3),
  repeat('the fee is one hundred rupees ', 4), repeat('the fee is one hundred rupees ', 4), 'llm',
  jsonb_build_object('speech_start', 10000 * i, 'speech_end', 10000 * i + 2000,
    'final', 10000 * i + 2050, 'turn_given', 10000 * i + 2200, 'retrieval', 10000 * i + 2210,
    'first_token', 10000 * i + 2350,
    'first_phrase', 10000 * i + 2360, 'first_audio', 10000 * i + 2430, 'first_frame', 10000 * i + 2450,
    'speculations_dropped', 0, 'held', 0),
  450, jsonb_build_array(jsonb_build_object('id', 'p', 'document', 'tariffs.pdf', 'heading', 'Fees',
    'text', repeat('The fee is 100 rupees. ', 10), 'score', 0.8, 'page', 3, 'cited', true))
FROM calls c, generate_series(1, :turns) i
"""
_FLAGS = """
INSERT INTO flags (id, at, call_id, turn, agent_id, agent_version, knowledge, knowledge_version,
  found_by, side, rule, category, severity, action, phrase, question, answer)
SELECT 'flag-' || call_id, started_at, call_id, 1, agent_id, 1, '', 0,
  'guard', 'agent', 'site.1', 'words', 'high', 'flagged', 'x', '', ''
FROM calls WHERE call_id LIKE '%50'
"""
Ask = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was asked for again and again."""

    name: str
    p50_ms: float
    p95_ms: float
    bytes: int = 0
    cpu_ms: float = 0.0
    """Of ``ivr admin``."""


async def seed(engine: AsyncEngine, calls: int, turns: int) -> None:
    """The log."""
    for number in range(5):
        await publish_agent(engine, Agent(f"agent{number}", 1, f"Agent {number}"))
    async with engine.begin() as connection:
        for statement in (_CALLS, _TURNS, _FLAGS):
            await connection.execute(text(statement), {"calls": calls, "turns": turns})
    async with engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))


async def measure(name: str, ask: Ask, rounds: int, admin: psutil.Process | None = None) -> Figure:
    """``ask`` with 0, 1, 2, …"""
    took: list[int] = []
    size = 0
    used_s = 0.0
    for number in range(-WARM_UPS, rounds):
        if number == 0:
            used_s = _cpu_s(admin)
        begin = perf_counter()
        found = await ask(number + WARM_UPS)
        if number >= 0:
            took.append(round((perf_counter() - begin) * 1e6))
        size = len(found.content) if isinstance(found, httpx.Response) else 0
    p50, p95 = (round((percentile(took, share) or 0) / 1000, 1) for share in (0.5, 0.95))
    cpu_ms = round((_cpu_s(admin) - used_s) * 1000 / rounds, 1)
    more = f"  cpu {cpu_ms:6.1f}  {size / 1000:4.0f} kB" if admin else ""
    print(f"{name:36}{p50:10.1f}{p95:10.1f}{more}", file=sys.stderr, flush=True)
    return Figure(name, p50, p95, size, cpu_ms)


def _cpu_s(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)


def service_asks(engine: AsyncEngine, calls: int) -> dict[str, Ask]:
    """What the log is asked, without the web around it."""
    now = datetime.now(UTC)

    def search(**wanted: object) -> Ask:
        def ask(number: int) -> Awaitable[object]:
            # another slice each time: what one asking has read helps the next no more than in life
            until = now - timedelta(hours=number)
            whole = CallsWanted(until=until, **wanted)  # type: ignore[arg-type]
            return search_calls(engine, whole, None, limit=51)

        return ask

    return {
        "list": search(),
        "list of a tenant": lambda n: search_calls(engine, CallsWanted(), "main", limit=51),
        "count": lambda n: count_calls(engine, CallsWanted(), None),
        "one agent, one language": search(agent_id="agent3", language="hi"),
        "part of a number": search(number="12345"),
        "a number that never rang": search(number="55555555555"),
        "cut off": search(outcome=Outcome.CUT_OFF),
        "flagged": search(flagged="open"),
        "gap p95 over 2 s": search(slower_than_ms=2000),
        "page 100": lambda n: search_calls(
            engine, CallsWanted(), None, limit=51,
            before=(now - timedelta(days=90) * min(0.99, 5000 / calls), "x"),
        ),
    }  # fmt: skip


def web_asks(client: httpx.AsyncClient, calls: int) -> dict[str, Ask]:
    """What a browser and a program ask."""

    def get(path: Callable[[int], str]) -> Ask:
        async def ask(number: int) -> httpx.Response:
            answer = await client.get(path(number))
            answer.raise_for_status()
            return answer

        return ask

    some = calls // 200
    return {
        "page /calls": get(lambda n: "/calls?period=90d"),
        "page /calls, filtered": get(lambda n: f"/calls?period=all&number={n:03}&flagged=any"),
        "page /calls/ID": get(lambda n: f"/calls/call-{1 + n * some}"),
        "GET /api/v1/calls": get(lambda n: "/api/v1/calls"),
        "GET /api/v1/calls/ID": get(lambda n: f"/api/v1/calls/call-{1 + n * some}"),
    }


async def bench(
    url: str, folder: Path, calls: int, turns: int, rounds: int, *, web: bool
) -> list[Figure]:
    """All figures; without ``web`` only the service's."""
    engine = open_engine(url)
    begin = perf_counter()
    await seed(engine, calls, turns)
    print(f"{calls} calls x {turns} turns in {perf_counter() - begin:.0f} s", file=sys.stderr)
    environment = {"IVR_DATABASE__URL": url, "IVR_ADMIN__REQUESTS_A_MINUTE": "100000"}
    console = ConsoleProcess(folder, environment)
    found = [
        await measure(f"service: {name}", ask, rounds)
        for name, ask in service_asks(engine, calls).items()
    ]
    if not web:
        await engine.dispose()
        return found
    who = await person(engine, Role.OPERATOR)
    token = await cookie(engine, who, console.settings)
    await asyncio.to_thread(console.open)
    try:
        admin = psutil.Process(console.pid)
        async with console.client(Cookie=f"{COOKIE}={token}") as client:
            for name, ask in web_asks(client, calls).items():
                found.append(await measure(name, ask, rounds, admin))
    finally:
        await asyncio.to_thread(console.close)
        await engine.dispose()
    return found


def main() -> None:
    """Read the options, measure, print; ``--json``: one object as the last line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--no-web", action="store_true", help="the service's figures alone")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with postgres() as (url, folder):
        found = asyncio.run(
            bench(url, folder, asked.calls, asked.turns, asked.rounds, web=not asked.no_web)
        )
    if asked.json:
        figures = {one.name: asdict(one) for one in found}
        print(
            orjson.dumps({"calls": asked.calls, "turns": asked.turns, "figures": figures}).decode()
        )


if __name__ == "__main__":
    main()
