"""Calls per interval of the week: a profile learnt from the log, in the site's local time.

Each slot (a day of the week and a time of day) is the mean of its latest weeks: recent weeks weigh
more, outliers are cut, and where there is little to go by it leans on what other days do at that
time, and on the hours beside it (a Gamma prior worth ``PRIOR_CALLS``, so a busy slot is its own
and a quiet one its neighbours'). With no history at all it is about one call a day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

DAY_S = 86_400
WEEKDAYS = 7
HALF_LIFE_DAYS = 14.0
"""A week that is so old weighs half."""
PRIOR_CALLS = 2.0
PRIOR_DAY_CALLS = 20.0
"""What a day of the week must have had before it is believed to differ from the others."""
OUTLIER_SCALES = 3.0
FEWEST_TO_DAMP = 3
"""Weeks of a slot; of two, nobody knows which one is the outlier."""
BESIDE_S = 3600
"""How far the hours beside a slot reach."""
PRIOR_SPREAD, PRIOR_SPREAD_WEIGHT = 0.05, 20.0
"""Days differ by some 20 % from their forecast, until the log has said how much they do here. (That
counts vary so, Gamma-Poisson: Avramidis, Deslauriers, L'Ecuyer, Management Science 50, 2004.)"""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Site:
    """Where the week is: its time zone, its holidays and the width of an interval."""

    zone: ZoneInfo
    interval_s: int
    holidays: Mapping[date, int] = field(default_factory=dict)
    """Date -> the day of the week (0 is Monday) that it is like."""

    @property
    def slots_a_day(self) -> int:
        return math.ceil(DAY_S / self.interval_s)

    def slots(self, first_s: int, count: int) -> Ints:
        """Slot of each interval from ``first_s`` (unix s) on: weekday × slots a day + time of day.

        By the wall clock: where DST leaves out an hour its slots do not occur, where it repeats one
        they occur twice.
        """
        found = np.empty(count, np.int64)
        for index in range(count):
            local = datetime.fromtimestamp(first_s + index * self.interval_s, self.zone)
            day = self.holidays.get(local.date(), local.weekday())
            second = local.hour * 3600 + local.minute * 60 + local.second
            found[index] = day * self.slots_a_day + second // self.interval_s
        return found


@dataclass(frozen=True, slots=True)
class Observed:
    """The log: calls that began in each interval from ``first_s`` (unix seconds) on, without a gap,
    and calls that were live at each interval's end."""

    first_s: int
    interval_s: int
    arrivals: tuple[int, ...]
    at_once: tuple[int, ...] = ()

    @property
    def end_s(self) -> int:
        return self.first_s + len(self.arrivals) * self.interval_s

    def before(self, at_s: float) -> Observed:
        """The intervals that are over at ``at_s``."""
        count = max(0, int(at_s - self.first_s) // self.interval_s)
        return Observed(
            self.first_s, self.interval_s, self.arrivals[:count], self.at_once[:count]
        )  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """Calls that begin in an interval of each slot of the week."""

    site: Site
    rate: Floats
    """Shape (7 × slots a day,)."""
    known: Floats
    """How many calls each rate rests on: its relative variance is one by that."""
    spread: float
    """Variance of counts beyond Poisson's, relative to the square of the mean."""

    def at(self, first_s: int, count: int) -> Floats:
        """Expected calls of each interval from ``first_s`` on."""
        return self.rate[self.site.slots(first_s, count)]

    def unsure(self, first_s: int, count: int) -> Floats:
        """Relative variance of a count in each interval beyond Poisson's: days differ, and the
        profile itself is an estimate."""
        return self.spread + 1 / self.known[self.site.slots(first_s, count)]


def learn(history: Observed | None, site: Site, now_s: float) -> Profile:
    """The profile of what the log holds at ``now_s``; of nothing, where it is empty."""
    arrivals = np.array(history.arrivals if history else (), np.float64)
    first_s = history.first_s if history else 0
    log = _Log(site, arrivals, site.slots(first_s, len(arrivals)), first_s, now_s)
    weights, calls = log.sums
    rate = _smoothed(weights, calls, site)
    return Profile(site, rate.ravel(), calls.ravel() + PRIOR_CALLS, _spread(log, rate.ravel()))


@dataclass(frozen=True)
class _Log:
    site: Site
    arrivals: Floats
    slots: Ints
    first_s: int
    now_s: float

    @cached_property
    def weights(self) -> Floats:
        starts = self.first_s + np.arange(len(self.arrivals)) * self.site.interval_s
        days = np.maximum(0.0, self.now_s - starts) / DAY_S
        return np.asarray(0.5 ** (days / HALF_LIFE_DAYS), np.float64)

    @cached_property
    def damped(self) -> Floats:
        """Arrivals with the outliers of each slot cut."""
        found = self.arrivals.copy()
        order = np.argsort(self.slots, kind="stable")
        edges = np.flatnonzero(np.diff(self.slots[order])) + 1
        for group in np.split(order, edges):
            if len(group) < FEWEST_TO_DAMP:
                continue
            values = found[group]
            middle = float(np.median(values))
            scale = max(
                math.sqrt(middle + 1), 1.4826 * float(np.median(np.abs(values - middle)))
            )  # fmt: skip
            far = OUTLIER_SCALES * scale
            found[group] = np.clip(values, middle - far, middle + far)
        return found

    @cached_property
    def sums(self) -> tuple[Floats, Floats]:
        """Weights, and weighted calls, of each slot; shape (7, slots a day)."""
        shape = (WEEKDAYS, self.site.slots_a_day)
        size = shape[0] * shape[1]
        weights = np.bincount(self.slots, self.weights, size)
        calls = np.bincount(self.slots, self.weights * self.damped, size)
        return weights.astype(np.float64).reshape(shape), calls.astype(np.float64).reshape(shape)


def _smoothed(weights: Floats, calls: Floats, site: Site) -> Floats:
    """Mean calls of each slot, each level leaning on the one above as far as it lacks calls."""
    a_day = DAY_S / site.interval_s
    overall = (calls.sum() + 1) / (weights.sum() + a_day)
    reach = max(1, BESIDE_S // site.interval_s)
    beside = _posterior(_around(calls.sum(0), reach), _around(weights.sum(0), reach), overall)
    any_day = _posterior(calls.sum(0), weights.sum(0), beside)
    expected = (weights * any_day).sum(1)
    days = (calls.sum(1) + PRIOR_DAY_CALLS) / (expected + PRIOR_DAY_CALLS)
    return _posterior(calls, weights, any_day[None, :] * days[:, None])


def _posterior(calls: Floats, weights: Floats, prior: Floats | float) -> Floats:
    return np.asarray((calls + PRIOR_CALLS) / (weights + PRIOR_CALLS / prior), np.float64)


def _around(values: Floats, reach: int) -> Floats:
    """Sums over ``reach`` slots to both sides, round the clock."""
    reach = min(reach, (len(values) - 1) // 2)
    padded = np.concatenate((values[len(values) - reach :], values, values[:reach]))
    total = np.concatenate(([0.0], np.cumsum(padded)))
    width = 2 * reach + 1
    return np.asarray(np.maximum(0.0, total[width:] - total[:-width]), np.float64)


def _spread(log: _Log, rate: Floats) -> float:
    """Method of moments over all intervals: E (y - m)² = m + spread m², where each m was fitted to
    its own y among others (hence the division by what is left of a residual)."""
    expected = rate[log.slots]
    share = log.weights / (log.sums[0].ravel()[log.slots] + PRIOR_CALLS / expected)
    beyond = (log.damped - expected) ** 2 / np.maximum(0.2, 1 - share) - expected
    weighed = log.weights * beyond
    total = float(weighed.sum()) + PRIOR_SPREAD * PRIOR_SPREAD_WEIGHT
    return max(0.0, total / (float((log.weights * expected**2).sum()) + PRIOR_SPREAD_WEIGHT))


def weekday(name: str) -> int:
    """0 for ``mon`` … 6 for ``sun``."""
    names: Sequence[str] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return names.index(name)
