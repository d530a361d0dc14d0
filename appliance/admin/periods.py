"""A time that somebody asks figures of: today, some days, or from day to day; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from appliance.errors import UserError

Unit = Literal["hour", "day"]
DAYS = {"today": 1, "7d": 7, "30d": 30, "90d": 90}
CUSTOM = "custom"
DEFAULT = "7d"
MOST_DAYS = 92
"""A quarter; longer times are for a warehouse, not for the database that calls need."""
HOURS_UP_TO_DAYS = 3
"""So many days are shown hour by hour, more of them day by day."""
MOST_HOURLY_DAYS = 14


@dataclass(frozen=True, slots=True)
class Period:
    """From ``since`` to before ``until``, cut into hours or days of the site's zone."""

    since: datetime
    until: datetime
    unit: Unit
    zone: str

    def steps(self) -> Iterator[datetime]:
        """The begin of each hour or day, in the zone, without it."""
        at = self.since.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        end = self.until.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        at = at.replace(minute=0, second=0, microsecond=0)
        if self.unit == "day":
            at = at.replace(hour=0)
        while at < end:
            yield at
            at += timedelta(hours=1) if self.unit == "hour" else timedelta(days=1)


def read_period(
    name: str, zone: str, now: datetime, *, first: str = "", last: str = "", unit: str = ""
) -> Period:
    """The period called ``name``; of ``custom`` from day ``first`` to day ``last`` (YYYY-MM-DD), both
    included. ``unit``: hour or day; empty: what suits it.

    Raises UserError for what is no period, or longer than ``MOST_DAYS``.
    """
    local = ZoneInfo(zone)
    today = now.astimezone(local).date()
    if name == CUSTOM:
        begin, end = _day(first, "first"), _day(last, "last")
    elif name in DAYS:
        begin, end = today - timedelta(days=DAYS[name] - 1), today
    else:
        raise UserError(f"A period is one of {', '.join(DAYS)} or {CUSTOM}.")
    days = (end - begin).days + 1
    if days < 1:
        raise UserError("The first day comes after the last; change them over.")
    if days > MOST_DAYS:
        raise UserError(f"Figures are made of {MOST_DAYS} days at most; choose a shorter time.")
    since = datetime.combine(begin, time(), local)
    until = datetime.combine(end + timedelta(days=1), time(), local)
    until = min(until, now) if since < now else until
    return Period(since, until, _unit(unit, days), zone)


def _unit(asked: str, days: int) -> Unit:
    if asked not in ("", "hour", "day"):
        raise UserError("Figures are shown by hour or by day.")
    if asked == "hour" and days > MOST_HOURLY_DAYS:
        raise UserError(f"Hours are shown of {MOST_HOURLY_DAYS} days at most.")
    if asked == "hour" or (not asked and days <= HOURS_UP_TO_DAYS):
        return "hour"
    return "day"


def _day(text: str, which: str) -> date:
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").date()
    except ValueError as e:
        raise UserError(f"Write the {which} day as 2026-11-20.") from e
    if not 2000 <= day.year <= 2999:
        raise UserError(f"The {which} day is none of any call.")
    return day
