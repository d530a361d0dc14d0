"""Turns a report into a document: which plots and tables it has, and what stands under them."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.rehearsal.budgets import WHOLE_GAP, WHOLE_GAP_MS, Kept, Verdict
from appliance.rehearsal.content import Group, Kind, Level, Report, Sizing, Usage
from appliance.rehearsal.document import Bars, Document, Lines, Plot, Section, Series, Table
from appliance.rehearsal.knee import BENT_MS, BENT_SHARE, FAILED_SHARE, Knee
from appliance.rehearsal.measured import CLOCK_MS, EDGE, STAGE_NAMES
from appliance.rehearsal.spread import Spread
from appliance.rehearsal.summary import STAGES_IN_WORDS

BUDGET_LIMIT = ("budget, p95", WHOLE_GAP_MS)
MOST_KINDS = 7
"""Lines in one plot; the smallest are added up as the rest."""


def describe(report: Report) -> Document:
    """The document that HTML and PDF are made from."""
    sections = [
        _gap(report),
        _stages(report.levels),
        _budgets(report),
        _groups("By hour", "Hour of the day, the appliance's own time zone.", report.hours),
        _groups("By language", "", report.languages),
        _groups("By agent", "", report.agents),
        _slowest(report),
        _lines(report.levels),
        _machine(report.usage, report.levels),
        _sizing(report.sizing),
        _notes(report.notes),
    ]
    return Document(
        title=report.title,
        subtitle=report.made_at.replace("T", " ")[:16],
        summary=report.summary,
        tiles=_tiles(report),
        sections=tuple(section for section in sections if section is not None),
        footer="All times in milliseconds. The same figures are in data.json beside this file.",
        facts=report.facts,
    )


def _tiles(report: Report) -> tuple[tuple[str, str, Verdict | None], ...]:
    answered = [level for level in report.levels if level.gap]
    if not answered:
        return ()
    top = answered[-1]
    assert top.gap
    whole = next((kept.verdict for kept in report.budgets if kept.name == WHOLE_GAP), None)
    kept = sum(k.verdict is Verdict.KEPT for k in report.budgets)
    measured = sum(k.verdict is not Verdict.UNKNOWN for k in report.budgets)
    tiles: list[tuple[str, str, Verdict | None]] = [
        (f"gap p50 at {top.label} calls", f"{top.gap.p50:.0f} ms", None),
        (f"gap p95 at {top.label} calls", f"{top.gap.p95:.0f} ms", whole),
        ("the knee", _knee_short(report.knee, top.label), None),
        ("budgets kept", f"{kept} of {measured}", None),
        ("turns measured", f"{sum(level.turns for level in report.levels):,}", None),
    ]
    lines = [level.line for level in report.levels if level.line]
    if lines:
        failed = sum(line.failed for line in lines)
        verdict = Verdict.MISSED if failed else Verdict.KEPT
        tiles.append(("calls failed", str(failed), verdict))
    return tuple(tiles)


def _knee_short(knee: Knee | None, top: str) -> str:
    if knee is None:
        return "not known"
    if knee.calls is None:
        return f"below {knee.bent_at}"
    return f"{knee.calls} calls" if knee.bent_at is not None else f"beyond {top}"


def _gap(report: Report) -> Section:
    levels = [level for level in report.levels if level.gap]
    ear = (
        "Measured at the callers' sockets"
        if report.kind is Kind.REHEARSAL
        else "As the worker measured it in the call's own audio"
    )
    text = [f"{ear}: the end of the caller's speech to the first sound of the answer."]
    marks: tuple[tuple[str, float], ...] = ()
    limits: tuple[tuple[str, float], ...] = (BUDGET_LIMIT,)
    if report.knee:
        text.append(_knee_sentence(report.knee))
        if report.knee.calls is not None and report.knee.bent_at is not None:
            marks = (("knee", float(report.knee.calls)),)
    plot = Lines(
        "Gap against calls at once",
        "calls at once",
        "ms",
        tuple(float(level.calls) for level in levels),
        tuple(
            Series(name, tuple(getattr(level.gap, name) for level in levels))
            for name in ("p50", "p95", "p99")
        ),
        limits,
        marks,
    )
    rows = tuple((level.label, str(level.turns), *_spread(level.gap)) for level in report.levels)
    table = Table(("calls at once", "turns", "p50", "p95", "p99", "longest"), rows)
    plots = (plot,) if levels else ()
    return Section("The gap", tuple(text), plots, (table,))


def _knee_sentence(knee: Knee) -> str:
    return (
        f"The knee is the most calls whose p95 is at most {knee.limit_ms:.0f} ms, with at most "
        f"{FAILED_SHARE:.0%} of them failed: {BENT_SHARE - 1:.0%}, or {BENT_MS:.0f} ms where that is "
        f"more, above the floor of {knee.floor_ms:.0f} ms, the median p95 of the lowest levels."
    )


def _stages(levels: Sequence[Level]) -> Section | None:
    staged = [level for level in levels if level.parts]
    if not staged:
        return None
    text = (
        "The mean wait, cut where each stage was the one that everything else waited for; what was "
        "done while the caller still spoke cost nothing.",
    )
    plot = _bars("Which stage costs the wait", "calls at once", staged)
    names = [n for n in (*STAGE_NAMES, EDGE) if any(n in level.parts for level in staged)]
    rows = tuple(
        (f"{name}: {STAGES_IN_WORDS[name]}", *(_ms(level.parts.get(name)) for level in staged))
        for name in names
    )
    table = Table(("stage, mean ms", *(level.label for level in staged)), rows)
    return Section("Where the time goes", text, (plot,), (table,))


def _bars(title: str, x_label: str, levels: Sequence[Level]) -> Bars:
    return Bars(
        title, x_label, "ms, mean", tuple(level.label for level in levels),
        _layers([level.parts for level in levels]),
    )  # fmt: skip


def _layers(parts: Sequence[dict[str, float]]) -> tuple[Series, ...]:
    return tuple(
        Series(name, tuple(each.get(name, 0.0) for each in parts))
        for name in (*STAGE_NAMES, EDGE)
        if any(each.get(name) for each in parts)
    )


def _budgets(report: Report) -> Section:
    text = (
        f"Held against {report.budgets_at}, by their p95. "
        f"The journal's own marks are frames of {CLOCK_MS} ms.",
    )
    rows = tuple(_budget(kept) for kept in report.budgets)
    verdicts = tuple(kept.verdict for kept in report.budgets)
    columns = ("budget", "p50", "p95", "limit", "from, to")
    table = Table(columns, rows, verdicts, frozenset({4}))
    return Section("Against the budgets", text, (), (table,))


def _budget(kept: Kept) -> tuple[str, ...]:
    p50, p95 = (kept.measured.p50, kept.measured.p95) if kept.measured else (None, None)
    return (kept.name, _ms(p50), _ms(p95), f"{kept.limit_ms:.0f}", kept.meaning)


def _groups(heading: str, text: str, groups: Sequence[Group]) -> Section | None:
    if not groups:
        return None
    plots: tuple[Plot, ...] = ()
    if len(groups) > 1:
        plots = (
            Bars(
                f"{heading}: the wait by stage", "", "ms, mean", tuple(g.name for g in groups),
                _layers([g.parts for g in groups]),
            ),
        )  # fmt: skip
    rows = tuple((g.name, str(g.turns), *_spread(g.gap)) for g in groups)
    table = Table(("", "turns", "p50", "p95", "p99", "longest"), rows)
    return Section(heading, (text,) if text else (), plots, (table,))


def _slowest(report: Report) -> Section | None:
    if not report.slowest:
        return None
    rows = tuple(
        (slow.call_id, str(slow.index), slow.at.replace("T", " ")[:19], str(slow.calls),
         f"{slow.gap_ms:.0f}", slow.slowest)
        for slow in report.slowest
    )  # fmt: skip
    table = Table(("call", "turn", "at", "calls", "gap", "most of it"), rows, (), frozenset({5}))
    text = ("`ivr calls show ID` tells the whole call.",)
    return Section("The slowest turns", text, (), (table,))


def _lines(levels: Sequence[Level]) -> Section | None:
    lined = [(level, level.line) for level in levels if level.line]
    if not lined:
        return None
    rows = tuple(
        (level.label, str(line.failed), str(line.unanswered), f"{line.frames:,}",
         str(line.late_frames), str(line.missed_frames), str(line.lost_packets), str(line.holes),
         _ms(line.barge_in_p95_ms), _ms(line.own_late_p99_ms, 1))
        for level, line in lined
    )  # fmt: skip
    columns = ("calls at once", "failed", "no answer", "frames", "late", "missed", "RTP lost",
               "holes", "barge-in p95", "own p99")  # fmt: skip
    reasons = {reason: 0 for _, line in lined for reason in line.reasons}
    for _, line in lined:
        for reason, count in line.reasons.items():
            reasons[reason] += count
    tables = [Table(columns, rows)]
    if reasons:
        tables.append(
            Table(("why calls failed", "calls"), tuple((r, str(n)) for r, n in reasons.items()))
        )
    text = (
        "Late: more than 20 ms behind an ideal clock. Missed: frames that the stream never made up. "
        "Holes: silences inside a phrase. Own: how late the callers' own frames were, which is what "
        "the measuring machine adds; where that is over 10 ms, a step says more about the callers than "
        "about the appliance.",
    )
    return Section("The lines", text, (), tuple(tables))


def _machine(usage: Usage | None, levels: Sequence[Level]) -> Section | None:
    if usage is None or len(usage.at_s) < 2:
        return None
    steps = tuple(
        at for at, now, before in zip(usage.at_s[1:], usage.calls[1:], usage.calls, strict=False)
        if now > before
    )  # fmt: skip
    plots: list[Plot] = [
        Lines("Cores in use", "seconds", "cores", usage.at_s,
              _series({k: list(v) for k, v in usage.cores.items()}), (), (), False, steps),
        Lines("Memory", "seconds", "MB", usage.at_s,
              _series({k: list(v) for k, v in usage.memory_mb.items()}), (), (), False, steps),
    ]  # fmt: skip
    if usage.gpu_at_s:
        busy = tuple(Series(k, tuple(100 * x for x in v)) for k, v in usage.gpu_busy.items())
        memory = tuple(Series(k, v) for k, v in usage.gpu_memory_mb.items())
        plots.append(
            Lines("GPU in use", "seconds", "%", usage.gpu_at_s, busy, (), (), False, steps)
        )
        plots.append(
            Lines("GPU memory", "seconds", "MB", usage.gpu_at_s, memory, (), (), False, steps)
        )
    lined = [(level, level.line) for level in levels if level.line and level.line.cores]
    kinds = sorted({kind for _, line in lined for kind in line.cores})
    rows = tuple(
        (level.label, *(f"{line.cores.get(kind, 0.0):.2f}" for kind in kinds),
         "-" if line.machine_busy is None else f"{line.machine_busy:.0%}")
        for level, line in lined
    )  # fmt: skip
    tables = (Table(("cores at calls", *kinds, "machine"), rows),) if rows else ()
    gpu = "" if usage.gpu_at_s else " There is no nvidia-smi here, so nothing is known of a GPU."
    text = ("Each kind of process added up, once a second; faint lines: another step." + gpu,)
    return Section("The machine", text, tuple(plots), tables)


def _series(values: dict[str, list[float]]) -> tuple[Series, ...]:
    """The largest kinds each, the others added up."""
    ranked = sorted(values, key=lambda kind: -max(values[kind], default=0.0))
    kept = [Series(kind, tuple(values[kind]), thin=True) for kind in ranked[:MOST_KINDS]]
    if rest := ranked[MOST_KINDS:]:
        added = tuple(sum(row) for row in zip(*(values[kind] for kind in rest), strict=True))
        kept.append(Series("the rest", added, thin=True))
    return tuple(kept)


def _sizing(sizing: Sizing | None) -> Section | None:
    if sizing is None or not sizing.stages:
        return None
    rows = tuple(
        (
            need.stage,
            "a call" if need.held else "a request",
            f"{need.erlang_per_call:.3f}",
            str(need.capacity),
            str(need.servers),
            str(sizing.pipelines),
        )
        for need in sizing.stages
    )
    total = ("models loaded", "", "", "", str(sizing.own_copies), str(sizing.shared_copies))
    columns = ("stage", "a slot is held by", "load a call", "slots", "own pool", "shared pool")
    text = (
        f"For {sizing.calls} calls at once. Own pool: servers of a stage that take what comes from "
        "every call. Shared pool: whole pipelines, each with every model; a call holds its place in "
        "one from its first to its last moment. Load in Erlang: requests a second times the seconds "
        "that each one takes.",
        *((sizing.note,) if sizing.note else ()),
    )
    return Section("How many servers", text, (), (Table(columns, (*rows, total)),))


def _notes(notes: tuple[str, ...]) -> Section | None:
    return Section("Notes", notes) if notes else None


def _spread(gap: Spread | None) -> tuple[str, str, str, str]:
    if gap is None:
        return ("-", "-", "-", "-")
    return (_ms(gap.p50), _ms(gap.p95), _ms(gap.p99), _ms(gap.most))


def _ms(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
