"""Figures of a rehearsal: percentiles, a table, a plot, one JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from appliance.rehearsal.calls import Rehearsal
from appliance.rehearsal.lateness import Lateness
from bench.overhear import Trips


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One rehearsal, and the worker's audio on its way to the callers where it was listened to."""

    rehearsal: Rehearsal
    trips: Trips | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What the process under test used while the calls were up."""

    cores: float
    rss_mb: float
    idle_cores: float = 0.0
    """Cores in use before the first call: what the process costs without calls."""
    machine_busy: float = 0.0
    """Share of all the machine's cores in use, 0-1: near 1, nothing here can be trusted."""
    shifting_s: float = 0.0
    """CPU time that setting up and tearing down all calls took."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one process used, per call."""

    cores_per_call: float
    """While all calls are up, what it uses without calls included."""
    idle_cores: float
    own_cores_per_call: float
    """``cores_per_call`` without the idle part."""
    shift_ms: float | None
    """CPU time of setting up and tearing down one call; None with too few calls to tell."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of N calls. Times in ms; None where nothing was measured."""

    calls: int
    turns: int
    unanswered: int
    talked_over: int
    gap_p50_ms: float | None
    gap_p95_ms: float | None
    gap_p99_ms: float | None
    barge_ins: int
    barge_in_p50_ms: float | None
    barge_in_p95_ms: float | None
    frames: int
    frame_late_p50_ms: float | None
    frame_late_p95_ms: float | None
    frame_late_p99_ms: float | None
    frame_late_max_ms: float | None
    late_frames: int
    missed_frames: int
    holes: int
    cores_per_call: float | None
    idle_cores: float | None
    mb_per_call: float | None
    rss_mb: float | None
    caller_late_p99_ms: float | None
    """How late the callers' own frames were: what the measuring itself added."""
    machine_busy: float | None
    """Share of all cores in use, by everything on the machine; near 1: do not trust this run."""
    errors: int
    first_error: str
    lost_packets: int = 0
    """RTP packets that never came to the callers."""
    audio_out_p50_ms: float | None = None
    """The worker's socket to the caller's ear."""
    audio_out_p95_ms: float | None = None
    audio_out_max_ms: float | None = None
    said_frames: int | None = None
    """Frames with sound that the worker sent."""
    lost_sound_frames: int | None = None
    """Of those, the ones that no caller heard."""
    shares: dict[str, Share] = field(default_factory=dict)
    """By the process's name: worker, switch, freeswitch."""


def figures(
    rehearsal: Rehearsal,
    load: Load | None = None,
    idle_rss_mb: float = 0.0,
    beside: Mapping[str, Load] | None = None,
    overheard: Trips | None = None,
) -> Figures:
    """Sum up one rehearsal; ``beside``: the load of the processes beside the worker."""
    trips = overheard or Trips()
    listened = overheard is not None
    exchanges = [e for call in rehearsal.calls for e in call.conversation.exchanges]
    gaps = [e.gap_ms for e in exchanges if e.gap_ms is not None]
    barge_ins = [e.barge_in_ms for e in exchanges if e.barge_in_ms is not None]
    frames: list[Lateness] = [call.frames for call in rehearsal.calls]
    late = np.concatenate([f.late_ms for f in frames]) if frames else np.zeros(0)
    errors = [call.error for call in rehearsal.calls if call.error]
    n = len(rehearsal.calls)
    return Figures(
        calls=n,
        turns=len(exchanges),
        unanswered=sum(e.gap_ms is None for e in exchanges),
        talked_over=sum(e.talked_over for e in exchanges),
        gap_p50_ms=_percentile(gaps, 50),
        gap_p95_ms=_percentile(gaps, 95),
        gap_p99_ms=_percentile(gaps, 99),
        barge_ins=len(barge_ins),
        barge_in_p50_ms=_percentile(barge_ins, 50),
        barge_in_p95_ms=_percentile(barge_ins, 95),
        frames=len(late),
        frame_late_p50_ms=_percentile(late, 50),
        frame_late_p95_ms=_percentile(late, 95),
        frame_late_p99_ms=_percentile(late, 99),
        frame_late_max_ms=_percentile(late, 100),
        late_frames=sum(f.late_frames for f in frames),
        missed_frames=sum(f.missed for f in frames),
        holes=sum(call.conversation.holes for call in rehearsal.calls),
        cores_per_call=round(load.cores / n, 5) if load else None,
        idle_cores=round(load.idle_cores, 4) if load else None,
        mb_per_call=round((load.rss_mb - idle_rss_mb) / n, 2) if load else None,
        rss_mb=round(load.rss_mb, 1) if load else None,
        caller_late_p99_ms=_percentile(rehearsal.own_late_ms, 99),
        machine_busy=round(load.machine_busy, 2) if load else None,
        errors=len(errors),
        first_error=errors[0] if errors else "",
        lost_packets=sum(call.lost_packets for call in rehearsal.calls),
        audio_out_p50_ms=_percentile(trips.late_ms, 50),
        audio_out_p95_ms=_percentile(trips.late_ms, 95),
        audio_out_max_ms=_percentile(trips.late_ms, 100),
        said_frames=trips.frames if listened else None,
        lost_sound_frames=trips.lost_frames if listened else None,
        shares={name: _share(each, n) for name, each in (beside or {}).items()},
    )


_CALLS_TO_TELL = 5
"""One call's set-up is lost in what a process does by itself in the seconds around it."""


def _share(load: Load, calls: int) -> Share:
    return Share(
        cores_per_call=round(load.cores / calls, 5),
        idle_cores=round(load.idle_cores, 4),
        own_cores_per_call=round((load.cores - load.idle_cores) / calls, 5),
        shift_ms=round(load.shifting_s * 1000 / calls, 1) if calls >= _CALLS_TO_TELL else None,
    )


def _percentile(values: Sequence[float] | np.ndarray, q: float) -> float | None:
    return round(float(np.percentile(values, q)), 1) if len(values) else None


_COLUMNS = (
    ("calls", "calls"),
    ("turns", "turns"),
    ("no answer", "unanswered"),
    ("gap p50", "gap_p50_ms"),
    ("p95", "gap_p95_ms"),
    ("p99", "gap_p99_ms"),
    ("barge-in p95", "barge_in_p95_ms"),
    ("late p99", "frame_late_p99_ms"),
    ("max", "frame_late_max_ms"),
    (">20 ms", "late_frames"),
    ("missed", "missed_frames"),
    ("holes", "holes"),
    ("core/call", "cores_per_call"),
    ("idle", "idle_cores"),
    ("MB/call", "mb_per_call"),
    ("caller late", "caller_late_p99_ms"),
    ("machine", "machine_busy"),
    ("errors", "errors"),
)


_EDGE_COLUMNS = (
    ("calls", "calls"),
    ("RTP lost", "lost_packets"),
    ("audio out p50", "audio_out_p50_ms"),
    ("p95", "audio_out_p95_ms"),
    ("max", "audio_out_max_ms"),
    ("said", "said_frames"),
    ("not heard", "lost_sound_frames"),
)
_SHARE_COLUMNS = (
    ("core/call", "cores_per_call"),
    ("without idle", "own_cores_per_call"),
    ("idle", "idle_cores"),
    ("CPU ms to set up and tear down", "shift_ms"),
)


def table(rows: Sequence[Figures]) -> str:
    """The runs as a text table, times in ms."""
    body = [[_cell(getattr(row, name)) for _, name in _COLUMNS] for row in rows]
    return _table([title for title, _ in _COLUMNS], body)


def edge_table(rows: Sequence[Figures]) -> str:
    """What a switch in front of the worker does to its audio, times in ms."""
    body = [[_cell(getattr(row, name)) for _, name in _EDGE_COLUMNS] for row in rows]
    return _table([title for title, _ in _EDGE_COLUMNS], body)


def share_table(rows: Sequence[Figures]) -> str:
    """What each process used."""
    body = [
        [name, f"{row.calls}", *(_cell(getattr(share, each)) for _, each in _SHARE_COLUMNS)]
        for row in rows
        for name, share in row.shares.items()
    ]
    titles = ["process", "calls", *(title for title, _ in _SHARE_COLUMNS)]
    return _table(titles, sorted(body, key=lambda line: line[0]))


def _table(titles: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    widths = [
        max(len(title), *(len(line[i]) for line in body), 1) for i, title in enumerate(titles)
    ]
    head = "  ".join(title.rjust(w) for title, w in zip(titles, widths, strict=True))
    lines = ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in body]
    return "\n".join([head, *lines])


def _cell(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) and 0 < abs(value) < 1 else f"{value:g}"


def as_dict(row: Figures) -> dict[str, object]:
    """The figures for JSON."""
    return asdict(row)


def plot(ours: Sequence[Figures], peers: Sequence[Figures], path: Path) -> None:
    """Gap and CPU against the number of calls, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (gap, cpu) = pyplot.subplots(1, 2, figsize=(11, 4.2))
    for rows, name, colour in ((ours, "appliance", "tab:blue"), (peers, "Pipecat", "tab:red")):
        if not rows:
            continue
        n = [row.calls for row in rows]
        gap.plot(n, [row.gap_p50_ms for row in rows], "o-", color=colour, label=f"{name} p50")
        gap.plot(n, [row.gap_p95_ms for row in rows], "s--", color=colour, label=f"{name} p95")
        cpu.plot(n, [row.cores_per_call for row in rows], "o-", color=colour, label=name)
    gap.axhline(450, color="grey", linewidth=0.8)
    gap.axhline(550, color="grey", linewidth=0.8, linestyle="--")
    gap.set(xlabel="simultaneous calls", ylabel="end of speech to first sound, ms", ylim=(0, None))
    cpu.set(xlabel="simultaneous calls", ylabel="cores per call", ylim=(0, None))
    for axes in (gap, cpu):
        axes.legend()
        axes.grid(alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
