"""When a campaign rings: never outside its hours nor the site's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.outreach.campaigns.progress import progress
from appliance.outreach.campaigns.window import Window, span_text, window_of
from appliance.telephony.hours import parse_hours

INDIA = "Asia/Kolkata"
SITE = "mon-sat 09:00-21:00"
MONDAY = datetime(2026, 5, 4, 4, 30, tzinfo=UTC)
"""10:00 in India."""
_MOMENTS = st.datetimes(datetime(2026, 4, 1), datetime(2026, 7, 1)).map(
    lambda at: at.replace(tzinfo=UTC)
)
_HOURS = st.sampled_from(
    ["", "always", "mon-fri 10:00-13:00 14:00-19:30", "sat-sun 08:00-23:00", "daily 20:00-02:00",
     "mon-sun 00:00-24:00; except 2026-05-04", "wed 09:00-09:01"]
)  # fmt: skip


@given(_MOMENTS, _HOURS, st.none() | _MOMENTS, st.none() | _MOMENTS)
def test_it_rings_in_all_hours_and_never_outside_one(
    now: datetime, hours: str, starts: datetime | None, ends: datetime | None
) -> None:
    window = window_of(hours, SITE, INDIA, starts, ends)
    until = window.open_until(now)
    if until is None:
        return
    for share in (0, 0.3, 0.9, 0.999):
        at = now + (until - now) * share
        assert window.own.open_at(at) and window.site.open_at(at)
        assert (starts is None or at >= starts) and (ends is None or at < ends)


@given(_MOMENTS, _HOURS)
def test_the_hours_of_a_listed_call_are_no_wider_than_the_window(now: datetime, hours: str) -> None:
    window = window_of(hours, SITE, INDIA)
    until = window.open_until(now)
    if until is None:
        return
    row = parse_hours(span_text(now, until, window.own), INDIA)
    assert row.open_at(now)
    midnight = now.astimezone(window.own.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    for minute in range(0, 1440, 7):
        at = midnight + timedelta(minutes=minute)
        if row.open_at(at):
            assert window.own.open_at(at) and window.site.open_at(at)


@given(_MOMENTS, _HOURS)
def test_the_next_opening_is_open_and_nothing_before_it_is(now: datetime, hours: str) -> None:
    window = window_of(hours, SITE, INDIA)
    opening = window.next_opening(now)
    if opening is None:
        return
    assert window.open_until(opening) is not None and opening >= now
    for share in range(40):
        at = now + (opening - now) * share / 40
        assert at >= opening or window.open_until(at) is None


def test_hours_that_never_meet_never_open() -> None:
    window = window_of("sun 10:00-12:00", SITE, INDIA)
    assert window.next_opening(MONDAY) is None and window.open_until(MONDAY) is None
    with pytest.raises(UserError, match="Opening hours"):
        window_of("whenever", SITE, INDIA)


def test_after_the_last_day_it_is_over() -> None:
    window = window_of("", SITE, INDIA, ends_at=MONDAY)
    assert window.is_over(MONDAY) and not window.is_over(MONDAY - timedelta(hours=1))
    assert window.next_opening(MONDAY) is None


def test_the_expected_end_counts_open_time_alone() -> None:
    window = window_of("", SITE, INDIA)
    evening = MONDAY.replace(hour=14, minute=30)  # 20:00 in India, closes at 21:00
    going = progress(30, evening - timedelta(minutes=30), 90, window, evening)
    assert going.per_hour == 60
    assert going.expected_end is not None
    end = going.expected_end.astimezone(window.own.zone)
    assert (end.day, end.hour, end.minute) == (5, 9, 30)
    assert progress(2, MONDAY, 90, window, evening).per_hour is None
    assert progress(30, MONDAY, 0, window, evening).expected_end is None


def test_what_is_left_at_the_last_day_is_not_promised() -> None:
    site = parse_hours(SITE, INDIA)
    window = Window(site, site, ends_at=MONDAY + timedelta(hours=1))
    assert progress(60, MONDAY - timedelta(hours=1), 600, window, MONDAY).expected_end is None
