"""``python -m bench.flat``: does load bend the curve?

The same callers at 1, 10, 25 and 50 calls, on emulated engines that work on a few requests at once
(more wait, as at real ones): with the pools that the plan asks for 50 calls, and with one server a
stage. Then callers who keep coming, one each ``RAMP_S``, on one server a stage: with a worker that
takes all, and with one that refuses calls at its knee.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import matplotlib
import orjson
import uvloop

from appliance.capacity.plan import Policy, Pool, size
from appliance.capacity.services import services
from appliance.engines.emulated_script import load_script
from appliance.ops.rehearsal.temporarysite import Pools, site
from appliance.rehearsal import script
from appliance.settings import Capacity
from appliance.store.traffic import Holding, TurnCosts
from bench import report
from bench.report import Figures
from bench.ws_caller import Plan, rehearse_ws

OUT = Path(__file__).resolve().parent / "out"
SLOTS = {"stt": 16, "tts": 4, "llm": 6, "turn": 16, "embed": 16}
"""What one emulated server works on at once: of the order of a real one on a share of a GPU."""
FEW_CALLS, FEW_TIMES = 5, 3
"""Fewer calls than this talk so many times as long: a call has only six turns a minute."""
SPREAD_S = 10.0
"""Calls are placed over so long, about a turn: fifty people do not speak in chorus."""
RAMP_S = 2.0
QUIET = {"IVR_WORKER__ADMISSION": "false"}


def planned(calls: int) -> Pools:
    """The pools that the plan asks for ``calls``, by its default service times."""
    capacity = Capacity()
    policy = Policy(capacity.wait_share, capacity.headroom, hold_s=0)
    needs = services(Holding(), TurnCosts(), has_llm=True)
    servers = {
        stage: size(
            calls, Pool(stage, need.use, need.erlang_per_call, SLOTS[stage], 1, 999, 0), policy
        ).servers
        for stage, need in needs.items()
        if stage in SLOTS  # nothing is reranked here
    }
    return Pools(servers, SLOTS)


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """One way to size the stages."""

    name: str
    pools: Pools
    environment: dict[str, str]
    ramp: bool = False
    """Callers come one by one, up to the most; else they come together."""


def ways(most: int) -> tuple[Way, ...]:
    one = Pools({}, SLOTS)
    return (
        Way("pools by the plan", planned(most), QUIET),
        Way("one server a stage", one, QUIET),
        Way("ramp, all are taken", one, QUIET, ramp=True),
        Way("ramp, admission", one, {}, ramp=True),
    )


@click.command()
@click.option("--calls", default="1,10,25,50", show_default=True, help="How many at once.")
@click.option("--seconds", default=30.0, show_default=True, help="How long each run talks.")
@click.option("--json", "json_only", is_flag=True, help="Only the JSON object.")
def main(calls: str, seconds: float, json_only: bool) -> None:
    """Measure the gap against the number of calls for three ways to size the stages.

    Example: python -m bench.flat --calls 1,50 --seconds 20
    """
    numbers = [int(n) for n in calls.split(",")]
    path = script.make(OUT / "script")
    found: dict[str, list[Figures]] = {}
    for way in ways(max(numbers)):
        if not json_only:
            click.echo(f"{way.name}: {dict(way.pools.servers) or 'one of each'}", err=True)
        found[way.name] = _measure(path, numbers, seconds, way)
        if not json_only:
            click.echo(f"\n{way.name}\n{report.table(found[way.name])}")
    plot(found, OUT / "flat.png")
    result = {name: {str(f.calls): report.as_dict(f) for f in row} for name, row in found.items()}
    click.echo(orjson.dumps({**result, "bend": bend(found)}).decode())


def bend(found: dict[str, list[Figures]]) -> dict[str, float | None]:
    """p95 at the most calls, as a multiple of p95 at the fewest."""
    return {
        name: round(row[-1].gap_p95_ms / row[0].gap_p95_ms, 3)
        if row[-1].gap_p95_ms and row[0].gap_p95_ms
        else None
        for name, row in found.items()
        if len(row) > 1
    }


def _measure(path: Path, numbers: list[int], seconds: float, way: Way) -> list[Figures]:
    script_, rows = load_script(path), []
    with site(path, max(numbers), way.pools, way.environment) as running:
        for n in numbers[-1:] if way.ramp else numbers:
            longer = FEW_TIMES if n < FEW_CALLS else 1
            stagger_s = RAMP_S if way.ramp else SPREAD_S / n
            plan = Plan(
                running.worker_url, running.secret, script_, n, seconds * longer,
                stagger_s=stagger_s,
            )  # fmt: skip
            rows.append(report.figures(uvloop.run(rehearse_ws(plan))))
    return rows


def plot(found: dict[str, list[Figures]], file: Path) -> None:
    """Gap p95 (and p50, thin) against the calls that were there."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5))
    for name, row in found.items():
        if len(row) < 2:
            continue  # a ramp
        calls = [each.calls for each in row]
        (line,) = axes.plot(calls, [r.gap_p95_ms for r in row], marker="o", label=f"{name}, p95")
        axes.plot(calls, [r.gap_p50_ms for r in row], color=line.get_color(), lw=0.8, ls="--")
    axes.set(xlabel="calls offered", ylabel="gap (ms)", title="Does load bend the curve?")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
