"""``ivr rehearse``: N real SIP calls through the whole stack, climbing, and a report of it."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
import orjson
import uvloop

from appliance.engines.emulated_script import load_script
from appliance.errors import UserError
from appliance.ops.rehearsal.calls import mind_live_calls, questions_of, resolved
from appliance.ops.rehearsal.rows import rows_of
from appliance.ops.rehearsal.sizing import recommend
from appliance.ops.rehearsal.surroundings import engines_in_words, machine_in_words
from appliance.ops.rehearsal.temporarysite import sip_office, site
from appliance.rehearsal import script
from appliance.rehearsal.assemble import Rehearsed, of_rehearsal
from appliance.rehearsal.climb import Climbed, Step, Target, climb, probe
from appliance.rehearsal.content import Report
from appliance.rehearsal.machine import Machine
from appliance.rehearsal.plots import require_matplotlib
from appliance.rehearsal.questions import Questions, of_script
from appliance.rehearsal.ramp import Ramp, steps_to
from appliance.rehearsal.write import Written, folder_for, write
from appliance.settings import Settings, load

STOPPED_BY = (signal.SIGINT, signal.SIGTERM)
"""The climb ends in order, and its report is written."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed."""

    calls: int
    seconds: float
    limit_s: float
    steps: tuple[int, ...] = ()
    to: str = ""
    emulated: bool = False
    questions: Path | None = None
    asked: Path | None = None
    yes: bool = False
    as_json: bool = False


def run(settings: Settings, options: Options) -> None:
    """Rehearse, write the report, and say where it lies. Raises UserError, see :func:`rehearse`."""
    report, written = rehearse(settings, options)
    if not options.as_json:
        print_report(report, written)
    else:
        click.echo(as_line(report, written))


def rehearse(settings: Settings, options: Options) -> tuple[Report, Written]:
    """Place the calls and write the report.

    Raises UserError: nothing answers, the options contradict each other, live calls would be
    disturbed, or what the report needs is not installed.
    """
    require_matplotlib()
    ramp = Ramp(options.steps or steps_to(options.calls), options.seconds, options.limit_s)
    at = datetime.now().astimezone()
    if not options.emulated:
        questions, uri = questions_of(settings, options.to, options.questions, options.asked)
        return _write(settings, at, _run(settings, options, ramp, uri, questions, at))
    if options.to or options.questions or options.asked:
        raise UserError(
            "--emulated starts a site of its own, whose recogniser knows the sample's questions alone:"
            " leave out --to, --questions and --ask."
        )
    path = script.make(settings.cache_dir / "rehearsal")
    most = ramp.steps[-1]
    _say(options, "Starting a site with emulated engines …")
    with site(path, most) as own, sip_office(own, most) as uri:
        inner = load(environ=own.environment)
        report = _run(inner, options, ramp, uri, of_script(load_script(path)), at)
    return _write(settings, at, report)


def print_report(report: Report, written: Written) -> None:
    """The summary, and where the files are."""
    click.echo()
    for sentence in report.summary:
        click.echo(sentence)
    click.echo(f"\nreport  {written.html}\n        {written.pdf} ({written.pages} pages)")


def as_line(report: Report, written: Written) -> str:
    """One JSON object: the figures that matter, and where the files are."""
    levels = {
        level.label: {
            "turns": level.turns,
            "gap_p50_ms": level.gap.p50 if level.gap else None,
            "gap_p95_ms": level.gap.p95 if level.gap else None,
            "gap_p99_ms": level.gap.p99 if level.gap else None,
            "failed": level.line.failed if level.line else 0,
        }
        for level in report.levels
    }
    line = {
        "summary": report.summary,
        "levels": levels,
        "knee": report.knee.calls if report.knee else None,
        "knee_beyond": report.knee is not None and report.knee.bent_at is None,
        "budgets": {kept.name: kept.verdict.value for kept in report.budgets},
        "html": str(written.html),
        "pdf": str(written.pdf),
        "data": str(written.data),
    }
    return orjson.dumps(line).decode()


def _write(settings: Settings, at: datetime, report: Report) -> tuple[Report, Written]:
    folder = folder_for(settings.data_dir.resolve() / "rehearsals", at)
    return report, write(report, folder)


def _run(
    settings: Settings,
    options: Options,
    ramp: Ramp,
    uri: str,
    questions: Questions,
    at: datetime,
) -> Report:
    if not options.emulated:
        mind_live_calls(settings, yes=options.yes, ask=not options.as_json)
    target = Target(resolved(uri), format(int(time.time() * 1000), "x"))
    up = [0]
    with Machine(lambda: up[0], children_only=options.emulated) as machine:
        climbed = _climb(target, questions, ramp, _Told(options), up)
    if not climbed.steps:
        raise UserError("The rehearsal was stopped before its first step; there is no report.")
    calls, notes = rows_of(settings, target, climbed)
    sizing = recommend(settings, ramp.steps[-1], calls) if calls else None
    done = Rehearsed(target, climbed, machine, calls, questions.first_word_ms)
    return of_rehearsal(done, at, _facts(settings, options, ramp, uri, questions), sizing, notes)


def _climb(target: Target, questions: Questions, ramp: Ramp, told: _Told, up: list[int]) -> Climbed:
    async def whole() -> Climbed:
        if why := await probe(target, questions):
            raise UserError(_unanswered(target.uri, why))
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in STOPPED_BY}
        for number in STOPPED_BY:
            loop.add_signal_handler(number, stop.set)

        def now_up(calls: int) -> None:
            up[0] = calls

        try:
            return await climb(target, questions, ramp, told, stop, now_up)
        finally:  # a closed loop of uvloop goes on swallowing them, and the report takes seconds
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    return uvloop.run(whole())


def _unanswered(uri: str, why: str) -> str:
    return (
        f"A first call to {uri} failed: {why}. Start the appliance (`ivr up`) or name one that answers"
        " with --to sip:1001@HOST:PORT; this machine's address must be in its sip.allow, or be a trunk"
        " of its FreeSWITCH."
    )


class _Told:
    """Progress on stderr; nothing with --json."""

    def __init__(self, options: Options) -> None:
        self._quiet = options.as_json
        self._end = "\r" if sys.stderr.isatty() else "\n"

    def begins(self, calls: int) -> None:
        """A step begins."""
        self._show(f"{calls:>4} at once: placing them …")

    def talks(self, calls: int, since_s: float, seconds: float, turns: int) -> None:
        """Once a second; every tenth where lines stay."""
        if self._end == "\r" or (since_s >= 1 and round(since_s) % 10 == 0):
            self._show(
                f"{calls:>4} at once: {since_s:3.0f} s (at least {seconds:.0f}), {turns} answers"
            )

    def ends(self, step: Step) -> None:
        """A step is over."""
        gap = step.gap
        told = (
            f"p50 {gap.p50:.0f} p95 {gap.p95:.0f} ms, {gap.count} answers" if gap else "no answer"
        )
        failed = sum(step.failures.values())
        self._show(f"{step.calls:>4} at once: {told}, {failed} failed", "\n")

    def _show(self, line: str, end: str = "") -> None:
        if not self._quiet:
            click.echo(f"{line:<60}{end or self._end}", err=True, nl=False)


def _say(options: Options, text: str) -> None:
    if not options.as_json:
        click.echo(text, err=True)


def _facts(
    settings: Settings, options: Options, ramp: Ramp, uri: str, questions: Questions
) -> tuple[tuple[str, str], ...]:
    steps = ", ".join(str(step) for step in ramp.steps)
    return (
        (
            "called",
            f"{uri}{', a site of its own with emulated engines' if options.emulated else ''}",
        ),
        ("steps", f"{steps} calls at once, {ramp.seconds:.0f} s or more each"),
        ("questions", questions.name),
        ("engines", engines_in_words(settings)),
        ("machine", machine_in_words()),
    )
