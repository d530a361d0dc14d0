"""Calls to come, per interval: the week's profile, the level of the latest days, campaigns, and the
last hour where it ran above all of that.

Calls at once follow from arrivals and the mean holding time as in M/G/inf: within an interval they
run from those carried over towards rate × holding time, exponentially.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from appliance.capacity.counts import upper
from appliance.capacity.profile import DAY_S, Floats, Observed, Profile, Site, learn

LEVEL_DAYS = 5
LEVEL_PRIOR_CALLS = 20.0
"""So many calls as forecast are mixed into each day's level."""
LEAST_LEVEL, MOST_LEVEL = 0.5, 2.0
RECENT_S = 3600
RECENT_PRIOR_CALLS = 10.0
MOST_RECENT = 4.0
"""A last hour of more than this many times its forecast is believed only so far."""
RECENT_HALF_LIFE_S = 3600.0
"""What drove the last hour above its forecast is half gone an hour later."""
SURE_SD = 1.0
"""A last hour this little above its forecast is chance."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What is expected from ``from_s`` (unix seconds) until the next interval."""

    from_s: int
    arrivals: float
    """Calls that begin, on average."""
    arrivals_upper: int
    calls: float
    """Calls at once, on average over the interval."""
    calls_upper: int
    """Calls at once at the interval's busier end, at the quantile."""
    spread: float
    """Variance of all of these beyond Poisson's, relative to the square of the mean."""


@dataclass(frozen=True, slots=True)
class Now:
    """What is known at the moment of the forecast."""

    at_s: float
    live: int
    """Calls at once."""
    holding_s: float
    """Mean length of a call."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Intervals in order, and what corrected the profile."""

    intervals: tuple[Interval, ...]
    level: float
    """The latest days, as a multiple of the profile."""
    recent: float
    """The last hour, as a multiple of what had been forecast; 1 where it was not above."""


def forecast(
    history: Observed | None,
    site: Site,
    now: Now,
    count: int,
    quantile: float,
    planned: Sequence[float] = (),
) -> Forecast:
    """The next ``count`` intervals, the one under way first.

    ``planned`` are answered calls of campaigns that begin in each of them. ``history`` may be None
    (no call yet): the forecast is then about a call a day, and its quantile wide.
    """
    history = history.before(now.at_s) if history else None
    # The last hour is held against the others, so it is not to be one of them.
    earlier = history.before(now.at_s - RECENT_S) if history else None
    profile = learn(earlier, site, now.at_s)
    level = level_of(history, profile)
    first_s = int(now.at_s // site.interval_s) * site.interval_s
    expected = profile.at(first_s, count) * level
    corrected, recent = _recently(history, profile, level, expected, now)
    campaign = np.zeros(count)
    campaign[: len(planned)] = planned[:count]
    unsure = profile.unsure(first_s, count)
    rates = corrected + campaign
    # What is planned is sure to begin; only calls that come by themselves have an uncertain rate.
    unsure = unsure * (corrected / np.maximum(rates, 1e-12)) ** 2
    means, tops = at_once(rates, site.interval_s, now.holding_s, now.live)
    found = [
        Interval(
            first_s + i * site.interval_s,
            float(rates[i]),
            upper(float(rates[i]), float(unsure[i]), quantile),
            float(means[i]),
            upper(float(tops[i]), float(unsure[i]), quantile),
            float(unsure[i]),
        )
        for i in range(count)
    ]
    return Forecast(tuple(found), level, recent)


def at_once(rates: Floats, interval_s: int, holding_s: float, live: float) -> tuple[Floats, Floats]:
    """Calls at once in each interval, mean and at its busier end, from calls that begin in each.

    Within an interval of constant rate, m(t) = a + (m(0) - a) exp(-t / h) with a = rate × h (exact
    for exponential holding times; W. Whitt, The Physics of the Mt/G/inf Queue, 1993).
    """
    hold = max(1.0, holding_s)
    stays = math.exp(-interval_s / hold)
    means, tops = np.empty(len(rates)), np.empty(len(rates))
    carried = float(live)
    for index, rate in enumerate(rates):
        steady = float(rate) * hold / interval_s
        end = steady + (carried - steady) * stays
        means[index] = steady + (carried - steady) * (1 - stays) * hold / interval_s
        tops[index] = max(carried, end)
        carried = end
    return means, tops


def level_of(history: Observed | None, profile: Profile) -> float:
    """The latest days as a multiple of the profile: the median of the last ``LEVEL_DAYS``, so that
    one strange day does not move it."""
    a_day = max(1, DAY_S // profile.site.interval_s)
    if history is None or len(history.arrivals) < a_day:
        return 1.0
    levels = []
    for back in range(min(LEVEL_DAYS, len(history.arrivals) // a_day)):
        end = len(history.arrivals) - back * a_day
        calls = sum(history.arrivals[end - a_day : end])
        start_s = history.first_s + (end - a_day) * profile.site.interval_s
        expected = float(profile.at(start_s, a_day).sum())
        levels.append((calls + LEVEL_PRIOR_CALLS) / (expected + LEVEL_PRIOR_CALLS))
    return min(MOST_LEVEL, max(LEAST_LEVEL, float(np.median(levels))))


def _recently(
    history: Observed | None, profile: Profile, level: float, expected: Floats, now: Now
) -> tuple[Floats, float]:
    """``expected`` raised where the last hour ran above its forecast, and by how much it did."""
    interval_s = profile.site.interval_s
    hour = max(1, RECENT_S // interval_s)
    # A log that does not reach up to now says nothing about the last hour.
    if history is None or len(history.arrivals) < hour or now.at_s - history.end_s > RECENT_S:
        return expected, 1.0
    calls = float(sum(history.arrivals[-hour:]))
    was = float(profile.at(history.end_s - hour * interval_s, hour).sum()) * level
    excess = calls - was - SURE_SD * math.sqrt(was + 1)
    if excess <= 0:
        return expected, 1.0
    times = min(
        MOST_RECENT, (was + excess + RECENT_PRIOR_CALLS) / (was + RECENT_PRIOR_CALLS)
    )  # fmt: skip
    leads = np.arange(len(expected)) * interval_s
    fades = 0.5 ** (leads / RECENT_HALF_LIFE_S)
    # As a multiple for busy hours, as so many calls more for hours that had none.
    raised = np.maximum(expected * (1 + (times - 1) * fades), expected + excess / hour * fades)
    return raised, times
