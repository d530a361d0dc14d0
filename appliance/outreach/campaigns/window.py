"""When a campaign rings: inside its own hours and the site's, between its first and last day. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.telephony.hours import Hours, parse_hours

MOST_STEPS = 400
"""Of two clocks that are asked in turn: over a year of openings."""
SHORTEST = timedelta(minutes=1)
"""Less is no time to ring anybody in."""


@dataclass(frozen=True, slots=True)
class Window:
    """Both hours have to hold."""

    own: Hours
    site: Hours
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def open_until(self, now: datetime) -> datetime | None:
        """Until when it may ring without a break, if it may ring ``now`` (aware); else None."""
        if self.starts_at is not None and now < self.starts_at:
            return None
        ends = [self.own.closes_at(now), self.site.closes_at(now)]
        if self.ends_at is not None:
            ends.append(self.ends_at)
        until = min(ends)
        return until if until - now >= SHORTEST else None

    def next_opening(self, now: datetime) -> datetime | None:
        """The first moment from ``now`` on at which it may ring; None: never again."""
        moment = max(now, self.starts_at) if self.starts_at is not None else now
        for _ in range(MOST_STEPS):
            own = self.own.next_opening(moment)
            both = None if own is None else self.site.next_opening(own)
            if own is None or both is None or (self.ends_at is not None and both >= self.ends_at):
                return None
            if self.open_until(both) is not None:
                return both
            moment = both + SHORTEST if both == own else both
        return None

    def after(self, start: datetime, ringing: timedelta) -> datetime | None:
        """When so much open time has gone by since ``start``; None: it never comes to that."""
        moment = start
        for _ in range(MOST_STEPS):
            opening = self.next_opening(moment)
            if opening is None:
                return None
            until = self.open_until(opening)
            assert until is not None
            if until - opening >= ringing:
                return opening + ringing
            ringing -= until - opening
            moment = until
        return None

    def is_over(self, now: datetime) -> bool:
        """Whether its last moment has passed."""
        return self.ends_at is not None and now >= self.ends_at


def window_of(
    hours: str,
    calling_hours: str,
    timezone: str,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Window:
    """From the texts; empty ``hours`` are the site's. Raises UserError."""
    site = parse_hours(calling_hours, timezone)
    return Window(parse_hours(hours, timezone) if hours else site, site, starts_at, ends_at)


def span_text(now: datetime, until: datetime, hours: Hours) -> str:
    """``mon 09:30-21:00``: today from ``now`` until ``until``, as ``telephony.hours`` reads it.

    It goes with each call on the list, so that one which could not be made in time is not made at
    night, whoever looks after it then.
    """
    first, last = now.astimezone(hours.zone), until.astimezone(hours.zone)
    end = "24:00" if last.date() > first.date() else f"{last:%H:%M}"
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[first.weekday()]
    return f"{day} {first:%H:%M}-{end}"
