"""The spread of a set of measurements: its percentiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles (linear interpolation between ranks) of ``count`` values."""

    count: int
    p50: float
    p95: float
    p99: float
    most: float


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of the values that there are; None when there are none."""
    known = np.array([value for value in values if value is not None], dtype=float)
    if not len(known):
        return None
    p50, p95, p99 = (round(float(np.percentile(known, q)), 1) for q in (50, 95, 99))
    return Spread(len(known), p50, p95, p99, round(float(known.max()), 1))


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that there are, rounded to 0.1; None when there are none."""
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 1) if known else None
