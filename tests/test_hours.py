"""Opening hours, checked against a reading of every minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.telephony.hours import DAYS, parse_hours

INDIA = "Asia/Kolkata"
OFFICE = "mon-fri 09:00-18:00, sat 10:00-14:00; except 2026-01-26"


def at(text: str, zone: str = INDIA) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("hours", "moment", "is_open"),
    [
        ("", "2026-01-25 03:00", True),
        ("always", "2026-01-25 03:00", True),
        (OFFICE, "2026-01-23 09:00", True),  # Friday
        (OFFICE, "2026-01-23 08:59:59", False),
        (OFFICE, "2026-01-23 17:59:59", True),
        (OFFICE, "2026-01-23 18:00", False),
        (OFFICE, "2026-01-24 13:59", True),  # Saturday
        (OFFICE, "2026-01-24 14:00", False),
        (OFFICE, "2026-01-25 12:00", False),  # Sunday
        (OFFICE, "2026-01-26 12:00", False),  # Monday, Republic Day
        (OFFICE, "2026-01-27 12:00", True),
        ("09:00-13:00, 14:00-18:00", "2026-01-25 13:30", False),
        ("09:00-13:00, 14:00-18:00", "2026-01-25 14:30", True),
        ("mon-fri 09:00-13:00, 14:00-18:00", "2026-01-25 14:30", False),
        ("mon-fri 09:00-13:00 14:00-18:00", "2026-01-23 14:30", True),
        ("MON, Wed  9:00-12:00", "2026-01-21 09:30", True),  # Wednesday
        ("mon, wed 9:00-12:00", "2026-01-20 09:30", False),
        ("fri-mon 09:00-12:00", "2026-01-25 10:00", True),  # over the week's end
        ("fri-mon 09:00-12:00", "2026-01-27 10:00", False),
        ("fri 22:00-06:00", "2026-01-24 05:59", True),  # Friday's night, on Saturday
        ("fri 22:00-06:00", "2026-01-23 05:59", False),
        ("daily 00:00-24:00", "2026-01-25 23:59", True),
        ("except 2026-01-24 to 2026-01-25", "2026-01-25 12:00", False),
        ("except 2026-01-24 to 2026-01-25", "2026-01-26 12:00", True),
        ("mon 09:00-10:00; except 2026-01-24 10:00-12:00, 2026-01-26", "2026-01-24 11:00", True),
        ("mon 09:00-10:00; except 2026-01-24 10:00-12:00, 2026-01-26", "2026-01-26 09:30", False),
    ],
)
def test_hours(hours: str, moment: str, is_open: bool) -> None:
    assert parse_hours(hours, INDIA).open_at(at(moment)) is is_open


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mon-fri", "without a time"),
        ("noday 09:00-10:00", "neither a day"),
        ("mon-xyz 09:00-10:00", "neither a day"),
        ("mon 9-10", "neither a day"),
        ("mon 25:00-26:00", "no span"),
        ("mon 09:60-10:00", "no span"),
        ("mon 09:00-09:00", "no span"),
        ("mon 09:00-24:30", "no span"),
        ("09:00-10:00 mon", "days after times"),
        ("mon 09:00-10:00,,", "empty part"),
        ("; except", "the word except"),
        ("mon 09:00-10:00; holidays", "the word except"),
        ("; except 2026-02-30", "no date"),
        ("; except tomorrow", "no date"),
        ("; except 2026-02-10 to 2026-02-01", "later one"),
        ("; except 2026-02-10 9am", "no time"),
        ("x" * 3000, "too long"),
    ],
)
def test_what_cannot_be_read_is_quoted(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_hours(text, INDIA)


def test_a_wrong_time_zone_is_named() -> None:
    for zone in ("Asia/Nowhere", "", "../../etc/passwd", "\0"):
        with pytest.raises(UserError, match="time zone"):
            parse_hours("", zone)


def test_the_wall_clock_counts_not_utc() -> None:
    hours = parse_hours("mon-fri 09:00-18:00", INDIA)
    assert hours.open_at(datetime(2026, 1, 23, 3, 30, tzinfo=UTC))  # 09:00 in India
    assert not hours.open_at(datetime(2026, 1, 23, 12, 30, tzinfo=UTC))  # 18:00


def test_next_opening() -> None:
    hours = parse_hours(OFFICE, INDIA)
    assert hours.next_opening(at("2026-01-24 14:00")) == at("2026-01-27 09:00")
    assert hours.next_opening(at("2026-01-23 12:00")) == at("2026-01-23 12:00")
    assert parse_hours("mon 09:00-10:00; except 2026-01-01 to 2026-12-31", INDIA).next_opening(
        at("2026-01-01 00:00")
    ) == at("2027-01-04 09:00")


def test_a_time_that_summer_time_leaves_out_opens_after_it() -> None:
    hours = parse_hours("sun 02:30-05:00", "Europe/Berlin")
    opening = hours.next_opening(at("2026-03-29 00:00", "Europe/Berlin"))
    assert opening is not None and hours.open_at(opening)
    assert opening.astimezone(UTC) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


SPANS = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda s: s[0] != s[1])
WEEKS = st.dictionaries(st.integers(0, 6), st.lists(SPANS, min_size=1, max_size=3), min_size=1)
MOMENTS = st.integers(0, 14 * 1440).map(
    lambda minute: datetime(2026, 3, 2, tzinfo=ZoneInfo(INDIA)) + timedelta(minutes=minute)
)


def write(week: dict[int, list[tuple[int, int]]]) -> str:
    parts = []
    for day, spans in week.items():
        times = " ".join(f"{a // 60:02d}:{a % 60:02d}-{b // 60:02d}:{b % 60:02d}" for a, b in spans)
        parts.append(f"{DAYS[day]} {times}")
    return ", ".join(parts)


def truth(week: dict[int, list[tuple[int, int]]]) -> set[int]:
    """Every open minute of a week, counted one by one."""
    found = set()
    for day, spans in week.items():
        for start, end in spans:
            length = end - start if end > start else end + 1440 - start
            found |= {(day * 1440 + start + i) % (7 * 1440) for i in range(length)}
    return found


@given(WEEKS, MOMENTS)
def test_open_is_what_counting_minutes_says(
    week: dict[int, list[tuple[int, int]]], moment: datetime
) -> None:
    minute = moment.weekday() * 1440 + moment.hour * 60 + moment.minute
    assert parse_hours(write(week), INDIA).open_at(moment) is (minute in truth(week))


@given(WEEKS, MOMENTS)
def test_the_next_opening_is_the_first_open_minute(
    week: dict[int, list[tuple[int, int]]], moment: datetime
) -> None:
    hours, open_minutes = parse_hours(write(week), INDIA), truth(week)
    minute = moment.weekday() * 1440 + moment.hour * 60 + moment.minute
    wait = next(i for i in range(7 * 1440 + 1) if (minute + i) % (7 * 1440) in open_minutes)
    assert hours.next_opening(moment) == moment + timedelta(minutes=wait)


@given(st.text(alphabet="monfri sat0123456789:-,;exceptTo\n$", max_size=60))
def test_no_text_raises_anything_but_a_user_error(text: str) -> None:
    try:
        hours = parse_hours(text, INDIA)
    except UserError:
        return
    hours.open_at(at("2026-01-23 12:00"))


def test_exceptions_are_dates_of_the_zone() -> None:
    hours = parse_hours("; except 2026-01-26", INDIA)
    assert hours.spans(date(2026, 1, 26)) == ()
    assert not hours.open_at(datetime(2026, 1, 25, 19, 0, tzinfo=UTC))  # 00:30 on the 26th there


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)))
def test_it_is_open_until_it_closes(at: datetime) -> None:
    hours = parse_hours("mon-fri 09:00-13:00 13:00-18:00, sat 22:00-02:00", "Asia/Kolkata")
    now = at.replace(tzinfo=UTC)
    end = hours.closes_at(now)
    assert hours.open_at(now) == (end > now)
    if end > now:
        assert not hours.open_at(end)
        assert all(hours.open_at(now + (end - now) * share / 10) for share in range(10))


def test_what_never_closes_ends_in_a_week() -> None:
    now = datetime(2026, 5, 4, 6, tzinfo=UTC)
    assert timedelta(days=6) <= parse_hours("", "UTC").closes_at(now) - now <= timedelta(days=7)
