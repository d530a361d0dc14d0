"""``python -m bench.guarding``: what the guard costs the caller.

The same callers on one worker and emulated engines, again and again: an agent without any check, one
with every check and a thousand rules of the site in ``hold``, and the same beside a guard model that
takes ``MODEL_MS`` for a verdict. The ways take turns, so that a noisy minute of the machine falls on
all of them. Printed for each: the gap that callers heard, and how long audio that was ready waited for
its verdict.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
import orjson
import uvloop
from aiohttp import web
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.emulated_script import Script, load_script
from appliance.events import Agent
from appliance.ops.keeping.ports import free_port
from appliance.ops.rehearsal.temporarysite import Site, site
from appliance.rehearsal import script
from appliance.settings import load
from appliance.store.agents import load_agents, publish_agent
from appliance.store.database import database_url, open_engine
from appliance.store.models import TurnRow
from appliance.store.review_models import GuardRuleRow
from bench.ws_caller import Plan, rehearse_ws

OUT = Path(__file__).resolve().parent / "out"
RULES = 1000
MODEL_MS = 150
"""Of a small guard model on a GPU that is shared; the voice takes 100 ms for its first audio."""
SETTLE_S = 17.0
"""A worker looks for new rules every 15 s."""
SPREAD_S = 5.0


@dataclass(frozen=True, slots=True)
class Way:
    """An agent's part of the settings."""

    name: str
    model: bool
    fields: dict[str, object]


OFF: dict[str, object] = {"guard_checks": (), "grounding": "off"}
ON: dict[str, object] = {"guard_checks": ("words", "personal", "injection"), "grounding": "flag"}
WAYS = (
    Way("no checks", False, OFF),
    Way("hold, rules", False, ON | {"guard_mode": "hold"}),
    Way(f"hold, rules and a model of {MODEL_MS} ms", True, ON | {"guard_mode": "hold"}),
    Way(f"release, rules and a model of {MODEL_MS} ms", True, ON | {"guard_mode": "release"}),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """One way, all its rounds together; ms."""

    turns: int
    gap_p50_ms: float
    gap_p95_ms: float
    held_p50_ms: float
    held_p95_ms: float


@click.command()
@click.option("--calls", default=10, show_default=True, help="How many at once.")
@click.option("--seconds", default=25.0, show_default=True, help="How long each round talks.")
@click.option("--rounds", default=2, show_default=True, help="How often the ways take turns.")
@click.option("--json", "json_only", is_flag=True, help="Only the JSON object.")
def main(calls: int, seconds: float, rounds: int, json_only: bool) -> None:
    """Measure the gap with and without the guard, in one run.

    Example: python -m bench.guarding --calls 10 --seconds 20
    """
    path = script.make(OUT / "script")
    script_ = load_script(path)
    found: dict[str, list[tuple[int, int]]] = {way.name: [] for way in WAYS}
    for with_model in (False, True):
        ways = [way for way in WAYS if way.model is with_model]
        with _place(path, calls, with_model) as place:
            for round_ in range(rounds):
                for way in ways:
                    if not json_only:
                        click.echo(f"  round {round_ + 1}: {way.name}", err=True)
                    found[way.name] += _talk(place, script_, way, calls, seconds)
    costs = {name: _cost(turns) for name, turns in found.items()}
    if not json_only:
        for name, cost in costs.items():
            click.echo(
                f"{name:46} gap p50 {cost.gap_p50_ms:4.0f} p95 {cost.gap_p95_ms:4.0f} ms,"
                f" held p50 {cost.held_p50_ms:3.0f} p95 {cost.held_p95_ms:3.0f} ms,"
                f" {cost.turns} turns"
            )
    base, rules = costs["no checks"], costs["hold, rules"]
    added = {
        "added_p50_ms": round(rules.gap_p50_ms - base.gap_p50_ms, 1),
        "added_p95_ms": round(rules.gap_p95_ms - base.gap_p95_ms, 1),
    }
    result = {name: {k: getattr(c, k) for k in c.__slots__} for name, c in costs.items()}
    click.echo(orjson.dumps({"calls": calls, **result, **added}).decode())


@contextmanager
def _place(path: Path, calls: int, with_model: bool) -> Iterator[Site]:
    if not with_model:
        with site(path, calls) as running:
            asyncio.run(_add_rules(running))
            yield running
        return
    port = free_port()
    with _guard_model(port):
        environment = {
            "IVR_GUARD__URL": f"http://127.0.0.1:{port}/v1",
            "IVR_GUARD__MODEL": "emulated-guard",
        }
        with site(path, calls, extra=environment) as running:
            asyncio.run(_add_rules(running))
            yield running


@contextmanager
def _guard_model(port: int) -> Iterator[None]:
    """A server in OpenAI's form that takes its time and finds everything safe."""
    loop = asyncio.new_event_loop()

    async def complete(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(MODEL_MS / 1000)
        message = {"role": "assistant", "content": "safe"}
        return web.json_response({"choices": [{"index": 0, "message": message}]})

    async def serve() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", complete)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return runner

    runner = loop.run_until_complete(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _engine(place: Site) -> AsyncEngine:
    return open_engine(database_url(load(environ=place.environment)))


async def _add_rules(place: Site) -> None:
    engine = _engine(place)
    rows = [
        {"kind": "words", "text": f"forbidden product {number}", "side": "agent"}
        for number in range(RULES)
    ]
    try:
        async with engine.begin() as connection:
            await connection.execute(insert(GuardRuleRow), rows)
    finally:
        await engine.dispose()
    await asyncio.sleep(SETTLE_S)


def _talk(
    place: Site, script_: Script, way: Way, calls: int, seconds: float
) -> list[tuple[int, int]]:
    """(gap, held) of each turn that a way's callers heard answered, in ms."""
    since = asyncio.run(_publish(place, way))
    plan = Plan(
        place.worker_url, place.secret, script_, calls, seconds, stagger_s=SPREAD_S / calls
    )  # fmt: skip
    uvloop.run(rehearse_ws(plan))
    return asyncio.run(_turns(place, since))


async def _publish(place: Site, way: Way) -> datetime:
    """Let the site's agent be of this way; returns since when."""
    engine = _engine(place)
    try:
        agent: Agent = (await load_agents(engine))[0]
        await publish_agent(engine, replace(agent, **way.fields))  # type: ignore[arg-type]
        await asyncio.sleep(SETTLE_S)  # it is warmed
        return datetime.now(UTC)
    finally:
        await engine.dispose()


async def _turns(place: Site, since: datetime) -> list[tuple[int, int]]:
    await asyncio.sleep(2.0)  # the journal is written behind
    engine = _engine(place)
    query = select(TurnRow.gap_ms, TurnRow.stages).where(
        TurnRow.at >= since, TurnRow.source == "llm", TurnRow.gap_ms.is_not(None)
    )
    try:
        async with engine.connect() as connection:
            rows = (await connection.execute(query)).all()
    finally:
        await engine.dispose()
    return [(row.gap_ms, row.stages.get("held") or 0) for row in rows]


def _cost(turns: Sequence[tuple[int, int]]) -> Cost:
    gaps, held = np.array([t[0] for t in turns]), np.array([t[1] for t in turns])
    return Cost(
        len(turns),
        *(round(float(np.percentile(gaps, p)), 1) for p in (50, 95)),
        *(round(float(np.percentile(held, p)), 1) for p in (50, 95)),
    )


if __name__ == "__main__":
    main()
