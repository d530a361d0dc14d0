"""What a report says in plain words, the most important first."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.rehearsal.budgets import Kept, Verdict
from appliance.rehearsal.content import Level, Sizing
from appliance.rehearsal.knee import Knee
from appliance.rehearsal.measured import EDGE

STAGES_IN_WORDS = {
    "hear": "hearing the last words",
    "floor": "being sure that the caller has finished",
    "search": "the search for passages",
    "write": "the language model's first word",
    "phrase": "the rest of the language model's first phrase",
    "voice": "the voice's first audio",
    "out": "audio out",
    EDGE: "the telephone network",
}


def summarise(
    levels: Sequence[Level], knee: Knee | None, budgets: Sequence[Kept], sizing: Sizing | None
) -> tuple[str, ...]:
    """Sentences for somebody who reads nothing else."""
    answered = [level for level in levels if level.gap]
    if not answered:
        return ("No question was answered, so there is nothing to judge.",)
    said = [f"{headline(answered[-1])} {_knee(knee, answered[-1])}"]
    if costs := _costs(answered[-1]):
        said.append(costs)
    said.append(_budgets(budgets))
    if failures := _failures(levels):
        said.append(failures)
    if sizing is not None and sizing.stages:
        said.append(_sizing(sizing))
    return tuple(said)


def counted(number: int | str, noun: str) -> str:
    """``1 call``, ``50 calls``."""
    return f"{number} {noun}" if str(number) == "1" else f"{number} {noun}s"


def headline(top: Level) -> str:
    """``50 calls: p95 430 ms; …``"""
    assert top.gap
    calls = counted(top.label, "call")
    half = f"half of all answers begin within {top.gap.p50:.0f} ms"
    return f"{calls}: p95 {top.gap.p95:.0f} ms; {half}."


def _knee(knee: Knee | None, top: Level) -> str:
    if knee is None:
        return "There are too few turns to say where the knee is."
    if knee.calls is None:
        return f"The latency is bent already at the lowest level, {counted(knee.bent_at or 0, 'call')}."
    if knee.bent_at is None:
        return f"The knee is beyond {top.label}: the latency is flat as far as it was measured."
    return (
        f"The knee is at {knee.calls}: from {knee.bent_at} calls on the latency is no longer flat."
    )


def _costs(top: Level) -> str:
    ranked = sorted(top.parts.items(), key=lambda part: -part[1])[:2]
    if not ranked:
        return ""
    total = sum(top.parts.values())
    told = [f"{STAGES_IN_WORDS[n]} ({ms:.0f} ms, {ms / total:.0%})" for n, ms in ranked]
    return f"Most of the wait is {' and '.join(told)}."


def _budgets(budgets: Sequence[Kept]) -> str:
    missed = [kept for kept in budgets if kept.verdict is Verdict.MISSED and kept.measured]
    unknown = sum(kept.verdict is Verdict.UNKNOWN for kept in budgets)
    rest = f" {unknown} could not be measured." if unknown else ""
    if not missed:
        return f"Every budget that was measured is kept.{rest}"
    told = "; ".join(
        f"{kept.name} {kept.measured.p95:.0f} ms against {kept.limit_ms:.0f}"
        for kept in missed
        if kept.measured
    )
    verb = "is" if len(missed) == 1 else "are"
    return f"{len(missed)} of {len(budgets)} budgets {verb} missed (p95): {told}.{rest}"


def _failures(levels: Sequence[Level]) -> str:
    lines = [level.line for level in levels if level.line]
    failed, unanswered = sum(x.failed for x in lines), sum(x.unanswered for x in lines)
    told = []
    if failed:
        told.append(f"{counted(failed, 'call')} failed")
    if unanswered:
        told.append(f"{unanswered} {_questions(unanswered)} not answered")
    return f"{' and '.join(told)}.".capitalize() if told else ""


def _questions(count: int) -> str:
    return "question was" if count == 1 else "questions were"


def _sizing(sizing: Sizing) -> str:
    needs = ", ".join(f"{need.servers} {need.stage}" for need in sizing.stages)
    return (
        f"{counted(sizing.calls, 'call')} at once need {needs} servers in pools of their own: "
        f"{counted(sizing.own_copies, 'loaded model')}, against {sizing.shared_copies} in "
        f"{counted(sizing.pipelines, 'whole pipeline')}."
    )
