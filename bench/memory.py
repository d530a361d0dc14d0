"""``python -m bench.memory``: what remembering costs the caller.

The same callers on two workers of one site with emulated engines: one as it is shipped (in so short a
talk no turn leaves the prompt), and one that has a summary written after every turn, six times as often
as in the longest call, on a language model that takes as long for notes as for an answer. The workers
take turns, so that a noisy minute of the machine falls on both. Printed for each: the gap that callers
heard, and how many summaries were written meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
import orjson
import uvloop

from appliance.call import history, worker
from appliance.engines.emulated_script import Script, load_script
from appliance.errors import UserError
from appliance.ops.keeping.ports import free_port
from appliance.ops.rehearsal.temporarysite import Site, ready, running, site
from appliance.rehearsal import script
from appliance.settings import load
from appliance.telemetry import configure
from bench.ws_caller import Plan, rehearse_ws

OUT = Path(__file__).resolve().parent / "out"
SPREAD_S = 5.0
WRITTEN = "turns are remembered"
EXTRA = {"IVR_ENGINES__LLM__PRIORITIES": "true"}
"""Else notes would wait for a moment without any reply."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One way of remembering, all its rounds together."""

    turns: int
    gap_p50_ms: float
    gap_p95_ms: float
    summaries: int


@click.command()
@click.option("--calls", default=10, show_default=True, help="How many at once.")
@click.option("--seconds", default=40.0, show_default=True, help="How long each round talks.")
@click.option("--rounds", default=2, show_default=True, help="How often the ways take turns.")
@click.option("--json", "json_only", is_flag=True, help="Only the JSON object.")
@click.option("--as-worker", is_flag=True, hidden=True)
def main(calls: int, seconds: float, rounds: int, json_only: bool, as_worker: bool) -> None:
    """Measure the gap with and without summaries under way, in one run.

    Example: python -m bench.memory --calls 10 --seconds 20
    """
    if as_worker:
        _run_worker()
        return
    path = script.make(OUT / "script")
    script_ = load_script(path)
    gaps: dict[str, list[float]] = {"no summary": [], "a summary after every turn": []}
    with site(path, calls, extra=EXTRA) as plain, _noting(plain) as noting:
        places = dict(zip(gaps, (plain, noting), strict=True))
        for round_ in range(rounds):
            for name, place in places.items():
                if not json_only:
                    click.echo(f"  round {round_ + 1}: {name}", err=True)
                gaps[name] += _talk(place, script_, calls, seconds)
        logs = (plain.folder / "worker.log", plain.folder / "noting.log")
        counts = [log.read_text("utf-8").count(WRITTEN) for log in logs]
    written = dict(zip(gaps, counts, strict=True))
    costs = {name: _cost(found, written[name]) for name, found in gaps.items()}
    none, every = costs.values()
    added = {
        "added_p50_ms": round(every.gap_p50_ms - none.gap_p50_ms, 1),
        "added_p95_ms": round(every.gap_p95_ms - none.gap_p95_ms, 1),
    }
    if not json_only:
        for name, cost in costs.items():
            click.echo(
                f"{name:28} gap p50 {cost.gap_p50_ms:4.0f} p95 {cost.gap_p95_ms:4.0f} ms,"
                f" {cost.turns} turns, {cost.summaries} summaries"
            )
    result = {name: asdict(cost) for name, cost in costs.items()}
    click.echo(orjson.dumps({"calls": calls, **result, **added}).decode())


def _run_worker() -> None:
    """A worker whose window is one turn."""
    history.WINDOW_TURNS = history.STEP_TURNS = 1
    configure("worker")
    worker.run(load())


@contextmanager
def _noting(place: Site) -> Iterator[Site]:
    """The same site with another worker."""
    port = free_port()
    environment = {**place.environment, "IVR_WORKER__PORT": str(port)}
    log = place.folder / "noting.log"
    command = [sys.executable, "-m", "bench.memory", "--as-worker"]
    with log.open("ab") as out, running(command, environment, stdout=out, stderr=out) as process:
        ready(f"http://127.0.0.1:{port}/health", process, log)
        yield replace(place, worker_url=f"ws://127.0.0.1:{port}", worker_pid=process.pid)


def _talk(place: Site, script_: Script, calls: int, seconds: float) -> list[float]:
    """The gaps that the callers heard, in ms."""
    plan = Plan(
        place.worker_url, place.secret, script_, calls, seconds, stagger_s=SPREAD_S / calls
    )  # fmt: skip
    found = uvloop.run(rehearse_ws(plan))
    if errors := [call.error for call in found.calls if call.error]:
        raise UserError(f"{len(errors)} calls failed: {errors[0]}")
    exchanges = [each for call in found.calls for each in call.conversation.exchanges]
    return [each.gap_ms for each in exchanges if each.gap_ms is not None]


def _cost(gaps: list[float], summaries: int) -> Cost:
    p50, p95 = (round(float(np.percentile(gaps, p)), 1) for p in (50, 95))
    return Cost(len(gaps), p50, p95, summaries)


if __name__ == "__main__":
    main()
