"""The forecast hour by hour, as people see it: hours of the clock, whenever one looks."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from appliance.capacity.forecast import Now, forecast
from appliance.capacity.history import History
from appliance.capacity.plan import Policy
from appliance.capacity.planning import Outlook
from appliance.capacity.profile import Observed, Site
from appliance.ops.capacityview import HOUR_S, Hour, hours_ahead, hours_back
from appliance.store.traffic import Campaigns, Holding, TurnCosts

DAYS, QUANTILE = 15, 0.95


def outlook(at: datetime, interval_s: int = 300, learnt: bool = True) -> Outlook:
    """As `ivr capacity forecast` has it at that moment: one call in each interval of two weeks, and
    three in each of the last hour."""
    now_s = at.timestamp()
    end_s = int(now_s // interval_s) * interval_s
    count, last = DAYS * 86_400 // interval_s, max(1, HOUR_S // interval_s)
    calls = (*[1] * (count - last), *[3] * last)
    log = Observed(end_s - count * interval_s, interval_s, calls, (1,) * count) if learnt else None
    zone = at.tzinfo
    assert isinstance(zone, ZoneInfo)
    site = Site(zone, interval_s)
    history = History(log, (), 1, Holding(), Holding(), TurnCosts(), Campaigns())
    made = forecast(log, site, Now(now_s, 1, 60.0), 86_400 // interval_s, QUANTILE)
    return Outlook(now_s, site, history, made, {}, {}, Policy(0.01, 0.1, 60.0), ())


def seen(found: Outlook, hours: int = 24) -> tuple[list[Hour], list[Hour]]:
    return hours_back(found, hours, QUANTILE), hours_ahead(found, QUANTILE)


@pytest.mark.parametrize("interval_s", [300, 900, 3600])
@pytest.mark.parametrize("minute", [0, 4, 37, 59])
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "Europe/Berlin"])
def test_hours_are_those_of_the_clock(zone: str, minute: int, interval_s: int) -> None:
    at = datetime(2026, 11, 21, 22, minute, 13, tzinfo=ZoneInfo(zone))
    past, coming = seen(outlook(at, interval_s))
    starts = [datetime.fromtimestamp(hour.from_s, at.tzinfo) for hour in (*past, *coming)]
    on_the_hour = zone == "Europe/Berlin" or interval_s < 3600
    assert on_the_hour is all(start.minute == 0 for start in starts)
    assert {(b - a).total_seconds() for a, b in pairwise(starts)} == {HOUR_S}
    assert (len(past), len(coming)) == (24, 24)
    if on_the_hour:
        assert starts[24] == at.replace(minute=0, second=0)


def test_the_hour_under_way_is_what_came_and_what_is_to_come() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    past, coming = seen(outlook(datetime(2026, 11, 21, 22, 40, tzinfo=berlin)))
    assert [hour.calls for hour in past[-2:]] == [12, 4 * 3 + 8 * 1]
    now, later = coming[0], coming[1]
    assert now.calls is None and 8 * 3 < now.forecast < 8 * 3 + later.forecast
    assert now.upper >= now.forecast
    at_the_hour, _ = seen(outlook(datetime(2026, 11, 21, 22, 0, tzinfo=berlin)))
    assert at_the_hour[-1].calls == 36, "nothing of an hour that is over is left out"


def test_intervals_that_make_no_hour_are_shown_as_they_are() -> None:
    at = datetime(2026, 11, 21, 22, 40, tzinfo=ZoneInfo("Asia/Kolkata"))
    past, coming = seen(outlook(at, interval_s=420))
    assert past and coming[0].from_s == past[-1].from_s + 8 * 420


def test_without_a_log_there_are_hours_to_come() -> None:
    at = datetime(2026, 11, 21, 22, 40, tzinfo=ZoneInfo("Asia/Kolkata"))
    past, coming = seen(outlook(at, learnt=False))
    assert not past and len(coming) == 24
