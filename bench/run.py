"""``python -m bench.run``: N simultaneous callers, emulated engines, one real worker.

Prints one table row a run and writes a plot; the last line is one JSON object keyed by the
number of calls. ``--pipecat`` puts the same callers to a Pipecat bot on the same engines.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import orjson
import psutil

from appliance.engines.emulated_script import load_script
from appliance.errors import UserError
from appliance.ops.rehearsal.temporarysite import site
from appliance.rehearsal import script
from appliance.rehearsal.calls import Watch
from bench import report
from bench.gauge import Gauge
from bench.places import PLACES, Place, Placed
from bench.report import Figures
from bench.rival import pipecat_bot

OUT = Path(__file__).resolve().parent / "out"
PIPECAT_CALLS = (1, 5, 10, 15)
FEW_CALLS, FEW_TIMES = 5, 3
"""Fewer calls than this talk three times as long: a call has only six turns a minute."""
SETTLE_S = 2.0
"""Between two runs: what the last one left over is finished."""
IDLE_S = 5.0
"""How long processes are metered without calls; `ivr switch` looks at the database every 5 s."""


@click.command()
@click.option("--calls", default="1,10,25,50,100", show_default=True, help="How many at once.")
@click.option("--seconds", default=40.0, show_default=True, help="How long each run talks.")
@click.option(
    "--through", type=click.Choice(["ws", "sip", "freeswitch"]), default="ws", show_default=True
)
@click.option("--pipecat", is_flag=True, help="Also Pipecat, at 1, 5, 10 and 15 calls.")
@click.option("--json", "json_only", is_flag=True, help="Only the JSON object.")
@click.option("--log", type=click.Path(path_type=Path), help="Keep the worker's log here.")
def main(
    calls: str, seconds: float, through: str, pipecat: bool, json_only: bool, log: Path | None
) -> None:
    """Measure gap, barge-in, late frames, CPU and memory against the number of calls."""
    try:
        numbers = _numbers(calls)
        path = script.make(OUT / "script")
        out = _Out(quiet=json_only)
        result = _run(path, numbers, seconds, PLACES[through], pipecat, out, log)
    except UserError as e:
        click.echo(f"bench: {e}", err=True)
        sys.exit(2)
    click.echo(orjson.dumps(result).decode())


def _numbers(calls: str) -> list[int]:
    try:
        numbers = [int(n) for n in calls.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise UserError(f"--calls {calls} should be numbers like 1,10,50.")
    return numbers


class _Out:
    """Progress on stderr, tables on stdout; nothing when ``quiet``."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def say(self, text: str) -> None:
        if not self._quiet:
            click.echo(text)

    def watch(self, name: str, calls: int, seconds: float) -> Watch:
        """Called once a second with the turns so far and the seconds since the start."""

        def show(turns: int, since_s: float) -> None:
            end = "\r" if sys.stderr.isatty() else "\n"
            if not self._quiet and (end == "\r" or round(since_s) % 10 == 0):
                line = f"  {name}: {calls} calls, {since_s:3.0f}/{seconds:.0f} s, {turns} turns"
                click.echo(line + "   " + end, err=True, nl=False)

        return show


def _run(
    path: Path,
    numbers: list[int],
    seconds: float,
    place: Place,
    pipecat: bool,
    out: _Out,
    log: Path | None,
) -> dict[str, object]:
    script_ = load_script(path)
    ours: list[Figures] = []
    theirs: list[Figures] = []
    if pipecat:
        numbers = sorted({*numbers, *PIPECAT_CALLS})
    with site(path, max(numbers)) as running:
        try:
            with place(running, script_, max(numbers)) as placed:
                for n in numbers:
                    pid = running.worker_pid
                    ours.append(_measure("appliance", pid, placed, n, seconds, out))
        finally:
            if log:
                log.write_bytes((running.folder / "worker.log").read_bytes())
        if pipecat:
            for n in PIPECAT_CALLS:
                with pipecat_bot(running.engines, running.folder / "pipecat.log") as bot:
                    theirs.append(
                        _measure("Pipecat", bot.pid, Placed(bot.caller(script_)), n, seconds, out)
                    )
    plot = OUT / "bench.png"
    report.plot(ours, theirs, plot)
    _print(ours, theirs, plot, out)
    return _result(ours, theirs)


def _measure(name: str, pid: int, placed: Placed, calls: int, seconds: float, out: _Out) -> Figures:
    """One run of ``calls`` callers while the process ``pid``, and those beside it, are metered."""
    seconds *= FEW_TIMES if calls < FEW_CALLS else 1
    gauges = {each: Gauge(number) for each, number in {"": pid, **placed.beside}.items()}
    time.sleep(SETTLE_S)
    _each(gauges, Gauge.begin)
    time.sleep(IDLE_S)
    _each(gauges, Gauge.idle)
    psutil.cpu_percent()
    watch = out.watch(name, calls, seconds)

    def metered(turns: int, since_s: float) -> None:
        _each(gauges, Gauge.sample)
        watch(turns, since_s)

    done = placed.call(calls, seconds, metered)
    busy = psutil.cpu_percent() / 100
    if placed.beside:
        time.sleep(SETTLE_S)  # until the last call is torn down everywhere
    _each(gauges, Gauge.sample)
    loads = {each: gauge.load(done.rehearsal, busy) for each, gauge in gauges.items()}
    own = loads.pop("")
    return report.figures(done.rehearsal, own, gauges[""].idle_rss_mb, loads, done.trips)


def _each(gauges: Mapping[str, Gauge], work: Callable[[Gauge], None]) -> None:
    for gauge in gauges.values():
        work(gauge)


def _print(ours: list[Figures], theirs: list[Figures], plot: Path, out: _Out) -> None:
    out.say("\nThe appliance, one worker process (ms; gap = end of speech to first sound)")
    out.say(report.table(ours))
    if any(row.shares for row in ours):
        out.say("\nThrough FreeSWITCH (audio out: the worker's socket to the caller's ear)")
        out.say(report.edge_table(ours))
        out.say("\nCores by process")
        out.say(report.share_table(ours))
    if theirs:
        out.say("\nPipecat 1.14, the same callers and engines")
        out.say(report.table(theirs))
        for row in theirs:
            out.say(f"  {row.calls} calls: ours/Pipecat p50 {_ratio(ours, row)}")
    for row in [*ours, *theirs]:
        if row.first_error:
            out.say(f"! {row.calls} calls: {row.errors} with errors, first: {row.first_error}")
    out.say(f"\nPlot: {plot}")


def _ratio(ours: list[Figures], their: Figures) -> float | None:
    own = next((row.gap_p50_ms for row in ours if row.calls == their.calls), None)
    return round(own / their.gap_p50_ms, 3) if own and their.gap_p50_ms else None


def _result(ours: list[Figures], theirs: list[Figures]) -> dict[str, object]:
    result: dict[str, object] = {str(row.calls): report.as_dict(row) for row in ours}
    if theirs:
        result["pipecat"] = {
            str(row.calls): {**report.as_dict(row), "ours_to_pipecat_p50": _ratio(ours, row)}
            for row in theirs
        }
    return result


if __name__ == "__main__":
    main()
