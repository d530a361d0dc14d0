"""How good the forecast would have been: held-out weeks, forecast a day ahead from what was then
known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from appliance.capacity.forecast import Interval, Now, forecast
from appliance.capacity.profile import DAY_S, WEEKDAYS, Observed, Site

HOUR_S = 3600
LEAST_CALLS = 10
"""An hour of fewer calls has no meaningful percentage."""


@dataclass(frozen=True, slots=True)
class Score:
    """Forecast against what came, over the held-out days."""

    days: int
    hours: int
    """Hours of ``LEAST_CALLS`` or more."""
    mape: float | None
    """Mean absolute percentage error of their calls, 0.1 is 10 %; None where there was none."""
    arrivals_covered: float | None
    """Share of intervals whose calls were at or below the upper quantile."""
    calls_covered: float | None
    """The same of calls at once; both None without a held-out day."""


def back_test(
    history: Observed, site: Site, holding_s: float, quantile: float, weeks: int = 1
) -> Score:
    """Forecast each of the last ``weeks``' days at its beginning; a week before them is left to
    learn from, and where there is none, nothing is scored."""
    a_day = DAY_S // site.interval_s
    spare = len(history.arrivals) // a_day - WEEKDAYS
    days = max(0, min(weeks * WEEKDAYS, spare))
    errors: list[float] = []
    covered, calls_covered, seen, calls_seen = 0, 0, 0, 0
    for back in range(days, 0, -1):
        begin = len(history.arrivals) - back * a_day
        at_s = history.first_s + begin * site.interval_s
        live = history.at_once[begin - 1] if history.at_once else 0
        made = forecast(history, site, Now(at_s, live, holding_s), a_day, quantile).intervals
        came = history.arrivals[begin : begin + a_day]
        errors += _hourly_errors(made, came, max(1, HOUR_S // site.interval_s))
        covered += sum(n <= i.arrivals_upper for n, i in zip(came, made, strict=True))
        seen += len(came)
        there = history.at_once[begin : begin + a_day]
        calls_covered += sum(n <= i.calls_upper for n, i in zip(there, made, strict=False))
        calls_seen += len(there)
    return Score(
        days=days,
        hours=len(errors),
        mape=math.fsum(errors) / len(errors) if errors else None,
        arrivals_covered=covered / seen if seen else None,
        calls_covered=calls_covered / calls_seen if calls_seen else None,
    )


def _hourly_errors(made: tuple[Interval, ...], came: tuple[int, ...], width: int) -> list[float]:
    found = []
    for start in range(0, len(came) - width + 1, width):
        calls = sum(came[start : start + width])
        expected = sum(i.arrivals for i in made[start : start + width])
        if calls >= LEAST_CALLS:
            found.append(abs(expected - calls) / calls)
    return found
