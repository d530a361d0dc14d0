"""Answered turns as levels, groups and the slowest: what the plots and tables are made of."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from appliance.rehearsal.content import Group, Level, SlowTurn
from appliance.rehearsal.knee import Point
from appliance.rehearsal.measured import EDGE, STAGE_NAMES, Figures
from appliance.rehearsal.spread import mean, spread
from appliance.store.measures import MeasuredCall

SLOWEST = 20
BANDS = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 1000)
"""An audit's levels: up to 1 call at once, 2, 3 to 5, 6 to 10, …"""


def parts_of(turns: Sequence[Figures]) -> dict[str, float]:
    """Mean share of each stage in the gap, ms, in the order of a turn."""
    found = {}
    for name in (*STAGE_NAMES, EDGE):
        share = mean(turn.parts.get(name, 0.0) for turn in turns)
        if share:
            found[name] = share
    return found


def level(calls: int, turns: Sequence[Figures], label: str = "") -> Level:
    """One level of these turns."""
    gap = spread(turn.gap_ms for turn in turns)
    return Level(calls, label or str(calls), len(turns), gap, parts_of(turns))


def points(levels: Sequence[Level]) -> list[Point]:
    """The levels as the knee is looked for in them."""
    return [
        Point(
            level.calls,
            level.gap.p95 if level.gap else None,
            level.turns,
            level.line.failed if level.line else 0,
        )
        for level in levels
    ]


def bands(turns: Sequence[Figures], at_once: Sequence[int]) -> tuple[Level, ...]:
    """Levels by the number of calls at once in the moment of each turn; empty bands are left out."""
    by_band: dict[int, list[Figures]] = defaultdict(list)
    for turn, calls in zip(turns, at_once, strict=True):
        band = next((top for top in BANDS if calls <= top), BANDS[-1])
        by_band[band].append(turn)
    return tuple(level(top, by_band[top], label=_band(top)) for top in sorted(by_band))


def groups(
    turns: Sequence[Figures], key: Callable[[Figures], str], order: Sequence[str] = ()
) -> tuple[Group, ...]:
    """Turns by what they have in common: in ``order``, or the most turns first."""
    by_key: dict[str, list[Figures]] = defaultdict(list)
    for turn in turns:
        by_key[key(turn)].append(turn)
    names = order or [
        name for name, _ in Counter({k: len(v) for k, v in by_key.items()}).most_common()
    ]
    return tuple(
        Group(n, len(by_key[n]), spread(t.gap_ms for t in by_key[n]), parts_of(by_key[n]))
        for n in names
        if by_key[n]
    )


def slowest(
    turns: Sequence[Figures], at_once: Mapping[tuple[str, int], int]
) -> tuple[SlowTurn, ...]:
    """The slowest turns, the worst first; ``at_once``: by call id and index."""
    worst = sorted(turns, key=lambda turn: -turn.gap_ms)[:SLOWEST]
    return tuple(_slow(turn, at_once.get((turn.call_id, turn.index), 0)) for turn in worst)


def at_once(calls: Sequence[MeasuredCall], moments: Sequence[datetime]) -> list[int]:
    """How many calls were live in each moment.

    A call without an end is live until its last turn, or for ever when it has none yet.
    """
    begins = sorted(call.started_at for call in calls)
    ends = sorted(end for call in calls if (end := _end(call)) is not None)
    return [bisect_right(begins, at) - bisect_right(ends, at) for at in moments]


def _end(call: MeasuredCall) -> datetime | None:
    if call.ended_at is not None:
        return call.ended_at
    if not call.turns:
        return None
    return max(turn.at for turn in call.turns) + timedelta(microseconds=1)


def _slow(turn: Figures, calls: int) -> SlowTurn:
    name, ms = max(turn.parts.items(), key=lambda part: part[1], default=("", 0.0))
    told = f"{name} {ms:.0f} ms" if name else "not known"
    at = turn.at.isoformat(timespec="seconds")
    return SlowTurn(turn.call_id, turn.index, at, calls, round(turn.gap_ms, 1), told)


def _band(top: int) -> str:
    below = max((band for band in BANDS if band < top), default=0)
    return f"{below + 1}-{top}" if top - below > 1 else str(top)
