"""``python -m bench.run``: N simultaneous callers, emulated engines, one real worker.

Prints one table row a run and writes a plot; the last line is one JSON object keyed by the
number of calls. ``--pipecat`` puts the same callers to a Pipecat bot on the same engines.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import click
import orjson
import psutil  # type: ignore[import-untyped]
import uvloop

from appliance.engines.emulated_script import Script, load_script
from appliance.errors import UserError
from bench import report, script, sipp
from bench.place import Meter, Site, sip_office, site
from bench.rehearsal import Rehearsal, Watch
from bench.report import Figures, Load
from bench.rival import pipecat_bot
from bench.sip_caller import SipPlan, rehearse_sip
from bench.ws_caller import Plan, rehearse_ws

OUT = Path(__file__).resolve().parent / "out"
PIPECAT_CALLS = (1, 5, 10, 15)
FEW_CALLS, FEW_TIMES = 5, 3
"""Fewer calls than this talk three times as long: a call has only six turns a minute."""
SIPP_CALLS, SIPP_HOLD_S = 20, 5.0
SETTLE_S = 4.0
"""Between two runs: what the last one left over is finished."""


@click.command()
@click.option("--calls", default="1,10,25,50,100", show_default=True, help="How many at once.")
@click.option("--seconds", default=40.0, show_default=True, help="How long each run talks.")
@click.option("--through", type=click.Choice(["ws", "sip"]), default="ws", show_default=True)
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


Caller = Callable[[int, float, Watch], Rehearsal]


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


@contextmanager
def ws_place(site_: Site, script_: Script, most: int) -> Iterator[Caller]:
    """Callers on the worker's own websocket."""

    def call(calls: int, seconds: float, watch: Watch) -> Rehearsal:
        plan = Plan(site_.worker_url, site_.secret, script_, calls, seconds)
        return uvloop.run(rehearse_ws(plan, watch))

    yield call


@contextmanager
def sip_place(site_: Site, script_: Script, most: int) -> Iterator[Caller]:
    """Callers on SIP and RTP, through ``ivr sip``; sipp has called it before."""
    with sip_office(site_, most) as target:
        count = sipp.call(target, min(most, SIPP_CALLS), SIPP_HOLD_S, script_, site_.folder)
        click.echo(
            f"sipp: {count.ok} calls set up and torn down, {count.failed} failed, "
            f"answered after {count.set_up_ms} ms on average",
            err=True,
        )

        def call(calls: int, seconds: float, watch: Watch) -> Rehearsal:
            return uvloop.run(rehearse_sip(SipPlan(target, script_, calls, seconds), watch))

        yield call


Place = Callable[[Site, Script, int], AbstractContextManager[Caller]]
PLACES: dict[str, Place] = {"ws": ws_place, "sip": sip_place}


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
            with place(running, script_, max(numbers)) as call:
                for n in numbers:
                    ours.append(_measure("appliance", running.worker_pid, call, n, seconds, out))
        finally:
            if log:
                log.write_bytes((running.folder / "worker.log").read_bytes())
        if pipecat:
            for n in PIPECAT_CALLS:
                with pipecat_bot(running.engines, running.folder / "pipecat.log") as bot:
                    theirs.append(
                        _measure("Pipecat", bot.pid, bot.caller(script_), n, seconds, out)
                    )
    plot = OUT / "bench.png"
    report.plot(ours, theirs, plot)
    _print(ours, theirs, plot, out)
    return _result(ours, theirs)


def _measure(name: str, pid: int, call: Caller, calls: int, seconds: float, out: _Out) -> Figures:
    """One run of ``calls`` callers while the process ``pid`` is metered."""
    seconds *= FEW_TIMES if calls < FEW_CALLS else 1
    meter = Meter(pid)
    time.sleep(SETTLE_S / 2)
    begun = meter.sample()
    time.sleep(SETTLE_S / 2)
    idle = meter.sample()
    psutil.cpu_percent()
    rehearsal = call(calls, seconds, _metered(meter, out.watch(name, calls, seconds)))
    load = Load(
        cores=meter.cores(rehearsal.up_s, rehearsal.end_s),
        idle_cores=meter.cores(begun.at_s, idle.at_s),
        rss_mb=meter.rss_mb(idle.at_s, rehearsal.end_s),
        machine_busy=psutil.cpu_percent() / 100,
    )
    return report.figures(rehearsal, load, idle.rss_mb)


def _metered(meter: Meter, watch: Watch) -> Watch:
    def both(turns: int, since_s: float) -> None:
        meter.sample()
        watch(turns, since_s)

    return both


def _print(ours: list[Figures], theirs: list[Figures], plot: Path, out: _Out) -> None:
    out.say("\nThe appliance, one worker process (ms; gap = end of speech to first sound)")
    out.say(report.table(ours))
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
