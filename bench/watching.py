"""What it costs the worker that people look on: 50 emulated calls, with nobody and with 20 of them.

    python -m bench.watching --calls 50 --watchers 20 --seconds 20 --rounds 3
    python -m bench.watching --cost       # the CPU time of telling alone: for a loaded machine

Runs of the same callers alternate: nobody looks, 20 look through one hub as in ``ivr admin`` (in a
process of its own; half of them have a call open, each another one, so that its words come as they
are said), 20 look without a hub, each at the worker itself: what the hub saves. Figures are medians
over the rounds.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import aiohttp
import click
import orjson
import psutil
import uvloop

from appliance.access.actor import Actor
from appliance.access.roles import PERMISSIONS, Role
from appliance.admin.api.live import _plain
from appliance.admin.live.hub import LiveHub
from appliance.call.desk import Desk
from appliance.call.redacting import Redacting
from appliance.engines.emulated_script import load_script
from appliance.events import Agent, Passage, Stages, Turn
from appliance.media import token
from appliance.media.server import MediaServer
from appliance.media.watcher import WATCH_ID
from appliance.ops.keeping.ports import free_port
from appliance.ops.rehearsal.temporarysite import Site, site
from appliance.rehearsal import script
from appliance.settings import MEDIA_SECRET, load
from appliance.store.database import database_url, open_engine
from bench import report
from bench.gauge import Gauge
from bench.report import Figures
from bench.ws_caller import Plan, rehearse_ws

OUT = Path(__file__).parent / "out"
SETTLE_S, IDLE_S = 2.0, 3.0
TURNS = 20
AGENT = Agent("a", 1, "A", prompt="Be brief.")
SAID = "can you tell me when the office in Pune is open on Sunday please"
ANSWER = (
    "We are open every day",
    "from nine in the morning until six",
    "all year long,",
    "Sundays too.",
)
BETWEEN_S = 0.4
"""As the page: between two changes shown."""
KINDS = ("nobody", "hub", "direct")


@click.command()
@click.option("--calls", default=50, show_default=True)
@click.option("--watchers", default=20, show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="Of one run.")
@click.option("--rounds", default=3, show_default=True, help="Of each kind.")
@click.option("--cost", is_flag=True, help="Only the CPU time of telling: for a loaded machine.")
@click.option("--look", hidden=True, help="Be the people who look on: hub or direct.")
def main(calls: int, watchers: int, seconds: float, rounds: int, cost: bool, look: str) -> None:
    """Cores a call, late frames and gap, with nobody and with people who look on."""
    if look:
        uvloop.run(_look_on(look, watchers))
        return
    if cost:
        costs = {kind: uvloop.run(_cost(kind, calls, watchers)) for kind in KINDS}
        click.echo(
            orjson.dumps({"calls": calls, "watchers": watchers, "us_a_turn": costs}).decode()
        )
        return
    path = script.make(OUT / "script")
    script_ = load_script(path)
    found: dict[str, list[Figures]] = {kind: [] for kind in KINDS}
    with site(path, calls) as running:
        for number in range(rounds):
            for kind in KINDS:
                plan = Plan(running.worker_url, running.secret, script_, calls, seconds)
                with _people(kind, watchers, running):
                    found[kind].append(_measure(running, plan, calls))
                one = found[kind][-1]
                click.echo(
                    f"  round {number + 1}, {kind}: {one.cores_per_call:.5f} cores a call,"
                    f" frames late p99 {one.frame_late_p99_ms} ms, gap p95 {one.gap_p95_ms} ms,"
                    f" machine {one.machine_busy:.2f} busy",
                    err=True,
                )
    result = {kind: _medians(figures) for kind, figures in found.items()}
    nobody = result["nobody"]["cores_per_call"]
    for kind in KINDS[1:]:
        result[kind]["ratio"] = round(result[kind]["cores_per_call"] / nobody, 4)
    click.echo(orjson.dumps({"calls": calls, "watchers": watchers, **result}).decode())


def _measure(running: Site, plan: Plan, calls: int) -> Figures:
    gauge = Gauge(running.worker_pid)
    time.sleep(SETTLE_S)
    gauge.begin()
    time.sleep(IDLE_S)
    gauge.idle()
    psutil.cpu_percent()
    rehearsal = uvloop.run(rehearse_ws(plan, lambda turns, since_s: gauge.sample()))
    busy = psutil.cpu_percent() / 100
    gauge.sample()
    return report.figures(rehearsal, gauge.load(rehearsal, busy), gauge.idle_rss_mb, {}, None)


def _medians(figures: list[Figures]) -> dict[str, float]:
    names = ("cores_per_call", "gap_p50_ms", "gap_p95_ms", "frame_late_p99_ms", "frame_late_max_ms")
    found = {
        name: round(statistics.median(float(getattr(f, name) or 0) for f in figures), 6)
        for name in names
    }
    sums = {
        name: float(sum(getattr(f, name) for f in figures)) for name in ("late_frames", "frames")
    }
    cores = [float(f.cores_per_call or 0) for f in figures]
    spread = {"cores_least": round(min(cores), 6), "cores_most": round(max(cores), 6)}
    return found | sums | spread


# --- the cost of telling --------------------------------------------------------------------------


async def _cost(kind: str, calls: int, watchers: int) -> float:
    """CPU time, in µs, that this process spends to redact and tell one turn's events: the work that
    looking on adds to a worker, whatever else the machine does meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        extra = {"IVR_DATA_DIR": folder, "IVR_WORKER__PORT": str(free_port())}
        extra |= {"IVR_DATABASE__URL": "postgresql://a:b@127.0.0.1:1/c"}
        settings = load(environ=extra)
        desk = Desk(calls)
        server = MediaServer(desk, settings.secret(MEDIA_SECRET))
        await server.start("127.0.0.1", settings.worker.port)
        running = Site("", "", {}, 0, {**os.environ, **extra}, Path(folder))
        people = _people(kind, watchers, running)
        await asyncio.to_thread(people.__enter__)
        try:
            ids = [f"call-{number:04d}" for number in range(calls)]
            redacting = {id_: Redacting(id_, AGENT, cast(Any, _Nowhere())) for id_ in ids}
            for id_ in ids:
                _tell(desk, redacting[id_], id_, "call", agent_id="a", agent="A", part=1)
            await asyncio.sleep(2)  # half of the people open a call each
            before_s = time.process_time()
            for turn in range(TURNS):
                for id_ in ids:
                    _tell_turn(desk, redacting[id_], id_, turn)
                    await asyncio.sleep(0.002)  # as it comes: never many at once
            spent_s = time.process_time() - before_s
        finally:
            await asyncio.to_thread(people.__exit__, None, None, None)
            server.close()
    return round(1e6 * spent_s / (TURNS * calls), 1)


class _Nowhere:
    """No journal."""


def _tell(desk: Desk, redacting: Redacting, call_id: str, kind: str, **what: object) -> None:
    """As ``call/session.py`` does it."""
    if desk.is_watched(call_id, kind):
        desk.tell(call_id, {"event": kind, "ms": 1000, **redacting.shown(kind, what)})


def _tell_turn(desk: Desk, redacting: Redacting, call_id: str, index: int) -> None:
    words = SAID.split()
    for count in range(1, len(words) + 1):
        _tell(desk, redacting, call_id, "partial", text=" ".join(words[:count]))
    _tell(desk, redacting, call_id, "final", text=SAID)
    _tell(desk, redacting, call_id, "turn", said=SAID)
    for phrase in ANSWER:
        _tell(desk, redacting, call_id, "phrase", text=phrase)
    found = [{"heading": "Opening hours", "score": 0.8}] * 4
    _tell(desk, redacting, call_id, "audible", gap_ms=440, source="llm", found=found)
    passages = tuple(
        Passage(str(n), "hours.md", "Opening hours", "text " * 150, 0.8) for n in range(4)
    )
    answer = " ".join(ANSWER)
    turn = Turn(
        call_id, index, datetime.now(UTC), SAID, answer, answer, "llm", Stages(), 440, passages
    )
    _tell(desk, redacting, call_id, "turn_over", turn=turn)


# --- the people -----------------------------------------------------------------------------------


@contextmanager
def _people(kind: str, watchers: int, running: Site) -> Iterator[None]:
    if kind == "nobody":
        yield
        return
    command = [sys.executable, "-m", "bench.watching", "--look", kind, "--watchers", str(watchers)]
    with subprocess.Popen(command, env=running.environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # they are there
        try:
            yield
        finally:
            process.terminate()
            told = process.stdout.read().decode(errors="replace").strip()
            click.echo(f"  {told}" if told else "", err=True, nl=bool(told))


async def _look_on(kind: str, watchers: int) -> None:
    settings = load()
    if kind == "direct":
        key = token.make(settings.secret(MEDIA_SECRET), WATCH_ID, time.time())
        url = f"ws://127.0.0.1:{settings.worker.port}/watch"
        async with aiohttp.ClientSession() as http:
            await asyncio.gather(*(_direct(http, url, key) for _ in range(watchers)))
        return
    engine = open_engine(database_url(settings))
    hub = LiveHub(settings, engine)
    running = asyncio.create_task(hub.run())
    while not all(hub.workers().values()):  # noqa: ASYNC110  (there is nothing to wait for)
        await asyncio.sleep(0.1)
    print("ready", flush=True)
    people = [asyncio.create_task(_list(hub)) for _ in range((watchers + 1) // 2)]
    people += [asyncio.create_task(_one(hub, number)) for number in range(watchers // 2)]
    await asyncio.wait([running, *people], return_when=asyncio.FIRST_EXCEPTION)


async def _list(hub: LiveHub) -> None:
    async with hub.subscribe(_actor()) as changes:
        async for change in changes:
            orjson.dumps(_plain(change))
            await asyncio.sleep(BETWEEN_S)


async def _one(hub: LiveHub, number: int) -> None:
    """The list, and the call that is ``number`` in it, opened anew when that is over."""
    listing = asyncio.create_task(_list(hub))
    try:
        while True:
            calls = [c for c in hub.snapshot(_actor()) if not c.ended_at]
            if len(calls) <= number:
                await asyncio.sleep(0.2)
                continue
            async with hub.subscribe(_actor(), calls[number].call_id) as changes:
                async for change in changes:
                    orjson.dumps(_plain(change))
                    if change.gone or any(call.ended_at for call in change.calls):
                        break
                    await asyncio.sleep(BETWEEN_S)
    finally:
        listing.cancel()


async def _direct(http: aiohttp.ClientSession, url: str, key: str) -> None:
    async with http.ws_connect(url, headers={"Authorization": f"Bearer {key}"}) as watch:
        print("ready", flush=True)
        async for message in watch:
            orjson.loads(message.data)


def _actor() -> Actor:
    return Actor("bench", Role.OPERATOR, None, PERMISSIONS[Role.OPERATOR])


if __name__ == "__main__":
    main()
