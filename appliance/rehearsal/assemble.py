"""Puts a report together: of a rehearsal's callers and journal, or of the call log alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from appliance.rehearsal.budgets import hold
from appliance.rehearsal.climb import Climbed, End, Step, Target
from appliance.rehearsal.content import Kind, Level, Line, Report, Sizing
from appliance.rehearsal.knee import find_knee
from appliance.rehearsal.levels import at_once, bands, groups, parts_of, points, slowest
from appliance.rehearsal.machine import Machine
from appliance.rehearsal.measured import Figures, figures_of, match
from appliance.rehearsal.spread import spread
from appliance.rehearsal.summary import counted, summarise
from appliance.store.measures import MeasuredCall

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """All that a rehearsal left behind."""

    target: Target
    climbed: Climbed
    machine: Machine
    calls: Sequence[MeasuredCall]
    """Of the journal; empty when Postgres could not be asked."""
    first_word_ms: Mapping[str, int]
    """Where the first word of a question ends, by the question."""


def of_rehearsal(
    done: Rehearsed, at: datetime, facts: Facts, sizing: Sizing | None, notes: tuple[str, ...]
) -> Report:
    """The report of a rehearsal."""
    by_name = {call.rehearsal: call for call in done.calls}
    turns = {step.number: _turns(step, done, by_name) for step in done.climbed.steps}
    levels = tuple(_level(step, turns[step.number], done.machine) for step in done.climbed.steps)
    everything = [turn for step in done.climbed.steps for turn in turns[step.number]]
    calls_of = {
        (turn.call_id, turn.index): step.calls
        for step in done.climbed.steps
        for turn in turns[step.number]
    }
    top = next((n for n in range(len(levels) - 1, -1, -1) if levels[n].gap), None)
    topmost = done.climbed.steps[top] if top is not None else None
    judged = turns[topmost.number] if topmost else []
    budgets = hold(judged, topmost.gap if topmost else None)
    knee = find_knee(points(levels))
    return Report(
        kind=Kind.REHEARSAL,
        title=f"Rehearsal of {counted(done.climbed.steps[-1].calls if levels else 0, 'call')}",
        made_at=at.isoformat(timespec="seconds"),
        facts=facts,
        summary=(*summarise(levels, knee, budgets, sizing), *_ended(done.climbed)),
        levels=levels,
        knee=knee,
        budgets=budgets,
        budgets_at=f"the turns at {counted(topmost.calls if topmost else 0, 'call')}",
        slowest=slowest(everything, calls_of),
        usage=done.machine.usage,
        sizing=sizing,
        notes=notes,
    )


def of_log(
    calls: Sequence[MeasuredCall],
    since: datetime,
    at: datetime,
    zone: tzinfo,
    facts: Facts,
    sizing: Sizing | None,
    notes: tuple[str, ...],
) -> Report:
    """The report of the real calls since ``since``; hours of the day are those of ``zone``."""
    found = [
        figures for call in calls for turn in call.turns if (figures := figures_of(call, turn))
    ]
    turns = [turn for turn in found if turn.at >= since]
    lives = at_once(calls, [turn.at for turn in turns])
    levels = bands(turns, lives)
    knee = find_knee(points(levels))
    budgets = hold(turns)
    calls_of = {(t.call_id, t.index): n for t, n in zip(turns, lives, strict=True)}
    hours = [f"{hour:02d} h" for hour in range(24)]
    return Report(
        kind=Kind.AUDIT,
        title=f"Audit of {counted(f'{len(calls):,}', 'call')}",
        made_at=at.isoformat(timespec="seconds"),
        facts=facts,
        summary=summarise(levels, knee, budgets, sizing),
        levels=levels,
        knee=knee,
        budgets=budgets,
        budgets_at="all turns",
        hours=groups(turns, lambda turn: f"{turn.at.astimezone(zone).hour:02d} h", hours),
        languages=groups(turns, lambda turn: turn.language),
        agents=groups(turns, lambda turn: turn.agent_id),
        slowest=slowest(turns, calls_of),
        sizing=sizing,
        notes=notes,
    )


def _turns(step: Step, done: Rehearsed, by_name: Mapping[str, MeasuredCall]) -> list[Figures]:
    """The step's turns by the journal, each with what its caller heard of it."""
    found = []
    for report in step.rehearsal.calls:
        call = by_name.get(f"{done.target.caller(step.number)}{report.number}")
        if call is None:
            continue
        heard = match(report.conversation.exchanges, call.turns)
        for turn in call.turns:
            exchange = heard.get(turn.index)
            word_ms = done.first_word_ms.get(exchange.line) if exchange else None
            if figures := figures_of(call, turn, exchange, word_ms):
                found.append(figures)
    return found


def _level(step: Step, turns: Sequence[Figures], machine: Machine) -> Level:
    return Level(
        calls=step.calls,
        label=str(step.calls),
        turns=step.gap.count if step.gap else 0,
        gap=step.gap,
        parts=parts_of(turns),
        line=_line(step, machine),
    )


def _line(step: Step, machine: Machine) -> Line:
    rehearsal = step.rehearsal
    frames = [call.frames for call in rehearsal.calls]
    cuts = spread(exchange.barge_in_ms for exchange in step.exchanges)
    return Line(
        failed=sum(step.failures.values()),
        reasons=dict(step.failures),
        unanswered=sum(exchange.gap_ms is None for exchange in step.exchanges),
        frames=sum(len(each.late_ms) for each in frames),
        late_frames=sum(each.late_frames for each in frames),
        missed_frames=sum(each.missed for each in frames),
        holes=sum(call.conversation.holes for call in rehearsal.calls),
        lost_packets=sum(call.lost_packets for call in rehearsal.calls),
        own_late_p99_ms=step.own_late_p99_ms,
        barge_in_p95_ms=cuts.p95 if cuts else None,
        machine_busy=machine.busy(rehearsal.up_s, rehearsal.end_s),
        cores=machine.cores(rehearsal.up_s, rehearsal.end_s),
    )


def _ended(climbed: Climbed) -> tuple[str, ...]:
    """Why it went no further, and whether the callers themselves were late."""
    if not climbed.steps:
        return ()
    last, told = climbed.steps[-1], []
    if climbed.end is not End.DONE:
        told.append(f"It went no further than {counted(last.calls, 'call')}: {climbed.end.value}.")
    if last.is_late:
        told.append(
            f"At {counted(last.calls, 'call')} the callers' own frames were "
            f"{last.own_late_p99_ms:.0f} ms late in p99: what is measured there is their machine too. "
            "Call from another one (--to)."
        )
    return tuple(told)
