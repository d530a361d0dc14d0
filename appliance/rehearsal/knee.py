"""The knee: up to how many calls the latency stays flat.

The floor is the median of the p95 gaps of the lowest levels (up to :data:`FLOOR_LEVELS`, among
those with enough turns). A level is bent when its p95 stands more than a quarter, and more than
:data:`BENT_MS`, above the floor, or when more than :data:`FAILED_SHARE` of its calls failed. The
knee is the highest level that is not bent, below the first of a bent level after which no level is
flat again: one noisy level in the middle is not a knee.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

FLOOR_LEVELS = 3
ENOUGH_TURNS = 8
"""A p95 of fewer turns is their slowest one."""
BENT_SHARE = 1.25
BENT_MS = 50.0
"""Less is what the media clock (20 ms) and jitter buffers do."""
FAILED_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Point:
    """One level of concurrency."""

    calls: int
    p95_ms: float | None
    """None: no turn was answered."""
    turns: int
    failed: int = 0
    """Calls that failed."""


@dataclass(frozen=True, slots=True)
class Knee:
    """Where the latency leaves its flat part."""

    calls: int | None
    """The highest flat level; None: even the lowest one is bent."""
    bent_at: int | None
    """The first level above it, which is bent; None: the knee is beyond what was measured."""
    floor_ms: float
    limit_ms: float
    """A p95 above this is bent."""


def find_knee(points: Sequence[Point]) -> Knee | None:
    """The knee of levels in rising order of calls; None where nothing can be said: there is one
    level alone, none with enough turns, or only one and nothing bent."""
    answered = [point for point in points if point.p95_ms is not None]
    sure = [point for point in answered if point.turns >= ENOUGH_TURNS]
    if len(points) < 2 or not sure:
        return None
    floor_ms = median(point.p95_ms or 0.0 for point in sure[:FLOOR_LEVELS])
    limit_ms = max(floor_ms * BENT_SHARE, floor_ms + BENT_MS)
    flat = [not _is_bent(point, limit_ms) for point in points]
    if not any(flat):
        return Knee(None, points[0].calls, round(floor_ms, 1), round(limit_ms, 1))
    last = len(flat) - 1 - flat[::-1].index(True)
    bent_at = points[last + 1].calls if last + 1 < len(points) else None
    if bent_at is None and len(sure) < 2:
        return None  # a floor that is one level's own p95 says of nothing that it is flat
    return Knee(points[last].calls, bent_at, round(floor_ms, 1), round(limit_ms, 1))


def _is_bent(point: Point, limit_ms: float) -> bool:
    if point.p95_ms is None:
        return True
    return point.p95_ms > limit_ms or point.failed > FAILED_SHARE * point.calls
