"""The forecast for people: hour by hour beside what came, as bars and as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from appliance.capacity.counts import upper
from appliance.capacity.forecast import Interval, Now, forecast
from appliance.capacity.planning import Outlook
from appliance.capacity.profile import Observed, Site
from appliance.capacity.services import holding_s

HOUR_S = 3600
BAR_COLUMNS = 40
BLOCKS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the clock (or an interval, where that is longer): forecast, and what came of it."""

    from_s: int
    calls: int | None
    """That began; None for an hour to come."""
    forecast: float
    upper: int
    at_once: float
    """Calls at once: of a past hour as they were, else as forecast, on average."""
    at_once_upper: int


def hours_back(outlook: Outlook, hours: int, quantile: float) -> list[Hour]:
    """The last ``hours`` whole hours of the clock as they came, beside the forecast made before them.
    Calls that came in; those that we made are not in it."""
    history = outlook.history.inbound
    if history is None:
        return []
    width = max(1, HOUR_S // history.interval_s)
    whole = len(history.arrivals) - _under_way(outlook.site, history.end_s)
    count = min(hours, whole // width) * width
    if count <= 0:
        return []
    begin = whole - count
    begin_s = history.first_s + begin * history.interval_s
    live = history.at_once[begin - 1] if begin else 0
    now = Now(begin_s, live, holding_s(outlook.history.holding))
    made = forecast(history, outlook.site, now, count, quantile).intervals
    return [
        _hour(made[i : i + width], quantile, history, begin + i)
        for i in range(0, count, width)
    ]  # fmt: skip


def hours_ahead(outlook: Outlook, quantile: float) -> list[Hour]:
    """The whole hours of the clock to come, and before them the one under way: its calls so far, and
    those that are forecast for the rest of it."""
    intervals, interval_s = outlook.forecast.intervals, outlook.site.interval_s
    if not intervals:
        return []
    width = max(1, HOUR_S // interval_s)
    begun = _under_way(outlook.site, intervals[0].from_s)
    rest = _hour(intervals[: width - begun], quantile)
    history = outlook.history.inbound
    so_far = sum(history.arrivals[-begun:]) if history and begun else 0
    first = replace(
        rest, from_s=rest.from_s - begun * interval_s, forecast=rest.forecast + so_far,
        upper=rest.upper + so_far,
    )  # fmt: skip
    later = range(width - begun, len(intervals) - width + 1, width)
    return [first, *(_hour(intervals[i : i + width], quantile) for i in later)]


def _under_way(site: Site, at_s: int) -> int:
    """Whole intervals since the hour of the clock began that is under way at ``at_s``; 0 where hours
    do not begin with an interval."""
    offset = datetime.fromtimestamp(at_s, site.zone).utcoffset() or timedelta()
    over_s = (at_s + int(offset.total_seconds())) % HOUR_S
    return 0 if HOUR_S % site.interval_s or over_s % site.interval_s else over_s // site.interval_s


def _hour(
    made: Sequence[Interval], quantile: float, came: Observed | None = None, first: int = 0
) -> Hour:
    arrivals = sum(i.arrivals for i in made)
    # Chance evens out over an hour, a busy day does not; what is mostly chance anyway weighs little.
    spread = sum(i.spread * i.arrivals for i in made) / arrivals if arrivals else 0.0
    seen = came.at_once[first : first + len(made)] if came else ()
    return Hour(
        from_s=made[0].from_s,
        calls=sum(came.arrivals[first : first + len(made)]) if came else None,
        forecast=round(arrivals, 2),
        upper=upper(arrivals, spread, quantile),
        at_once=sum(seen) / len(seen) if seen else round(sum(i.calls for i in made) / len(made), 2),
        at_once_upper=max(i.calls_upper for i in made),
    )


def bars(
    past: Sequence[Hour], coming: Sequence[Hour], zone: tzinfo
) -> Iterator[tuple[Hour, str, str]]:
    """Each hour with its time and its bar: what came or is forecast, and dots up to the quantile."""
    everything = [*past, *coming]
    longest = max((max(h.upper, h.calls or 0) for h in everything), default=0) or 1
    for hour in everything:
        value = hour.forecast if hour.calls is None else float(hour.calls)
        text = f"{datetime.fromtimestamp(hour.from_s, zone):%a %d %H:%M}"
        yield hour, text + (" >" if hour.calls is None else ""), _bar(value, hour.upper, longest)


def _bar(value: float, top: float, longest: float) -> str:
    columns = value / longest * BAR_COLUMNS
    whole, part = int(columns), int((columns % 1) * (len(BLOCKS) - 1))
    bar = BLOCKS[-1] * whole + (BLOCKS[part] if part else "")
    return bar + "·" * max(0, math.ceil(top / longest * BAR_COLUMNS) - len(bar))


def draw(outlook: Outlook, past: Sequence[Hour], coming: Sequence[Hour], path: Path) -> None:
    """A picture of calls per hour and of calls at once. Raises OSError, ValueError (file type)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import dates, pyplot

    zone = outlook.site.zone
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(12, 7), sharex=True)
    everything = [*past, *coming]
    at = [datetime.fromtimestamp(hour.from_s, zone) for hour in everything]
    above.bar(
        at[: len(past)], [hour.calls or 0 for hour in past], width=1 / 24, align="edge",
        alpha=0.4, label="came",
    )  # fmt: skip
    above.step(at, [hour.forecast for hour in everything], where="post", label="forecast")
    above.step(at, [hour.upper for hour in everything], where="post", ls=":", label="at most")
    above.set_ylabel("calls an hour")
    history = outlook.history.inbound
    if history is not None and past:
        first = (past[0].from_s - history.first_s) // history.interval_s
        seen = history.at_once[first:]
        when = [
            datetime.fromtimestamp(past[0].from_s + (i + 1) * history.interval_s, zone)
            for i in range(len(seen))
        ]
        below.plot(when, seen, label="were")
    intervals = outlook.forecast.intervals
    when = [datetime.fromtimestamp(i.from_s, zone) for i in intervals]
    below.step(when, [i.calls for i in intervals], where="post", label="forecast, mean")
    below.step(
        when, [i.calls_upper for i in intervals], where="post", ls=":", label="upper quantile"
    )  # fmt: skip
    below.set_ylabel("calls at once")
    for axes in (above, below):
        axes.axvline(datetime.fromtimestamp(outlook.at_s, zone), color="grey", lw=0.8)
        axes.legend(loc="upper left")
        axes.grid(alpha=0.3)
    below.xaxis.set_major_formatter(dates.DateFormatter("%a %H:%M", tz=zone))  # type: ignore[no-untyped-call]
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
