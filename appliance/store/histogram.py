"""Gaps counted in bins of a few milliseconds: percentiles of any sum of them, without all values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

BIN_MS = 20
"""Of one frame, which is how exactly a gap is known; percentiles are off by half of it at most."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """How long callers waited: p50, p95 and p99 in ms over ``turns`` answered turns."""

    turns: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class Histogram:
    """Counts by bin."""

    def __init__(self, bins: Iterable[tuple[int, int]] = ()) -> None:
        self._counts: Counter[int] = Counter()
        for number, count in bins:
            self.add(number, count)

    def add(self, number: int, count: int) -> None:
        """``count`` values in the bin from ``number`` × ``BIN_MS``."""
        self._counts[number] += count

    def gaps(self) -> Gaps:
        """What is known of them."""
        quantiles = [self.quantile(share) for share in (0.5, 0.95, 0.99)]
        return Gaps(self._counts.total(), *quantiles)

    def quantile(self, share: float) -> float | None:
        """The value below which ``share`` of all lie, by the middle of its bin; None: there is none.

        The rank is that of Postgres's ``percentile_disc``: the first value whose cumulated share is at
        least ``share``.
        """
        total = self._counts.total()
        if not total:
            return None
        seen = 0
        for number in sorted(self._counts):
            seen += self._counts[number]
            if seen >= share * total:
                return (number + 0.5) * BIN_MS
        return None
