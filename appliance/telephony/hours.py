"""Opening hours: ``mon-fri 09:00-18:00, sat 10:00-14:00; except 2026-01-26``. Pure, by wall clock.

Grammar, in any case of letters::

    hours     = "always" | [weekly] [";" "except" exception {"," exception}]
    weekly    = part {"," part}
    part      = {days} {span}             spans without days: those of the part before, or daily
    days      = day | day "-" day | "daily"     (mon tue wed thu fri sat sun)
    span      = HH:MM "-" HH:MM           until 24:00; past midnight where the end is not later
    exception = DATE ["to" DATE] {span}   closed, or open in these spans only

A span past midnight belongs to the day on which it begins, also where the next day is an exception.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from appliance.errors import UserError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN = 24 * 60
LONGEST_TEXT = 2000
LONGEST_EXCEPTION_DAYS = 366
LONGEST_SPAN_DAYS = 7
"""Nobody asks when hours end that are longer than this: they are always open."""
LOOK_AHEAD_DAYS = 2 * 366
"""A next opening further away than this is none: only exceptions could put it there."""

_SPAN = re.compile(r"(\d{1,2}):(\d\d)-(\d{1,2}):(\d\d)", re.ASCII)
_DAYS = re.compile(r"([a-z]{3})(?:-([a-z]{3}))?", re.ASCII)
_EXCEPTION = re.compile(
    r"(?P<first>\d{4}-\d\d-\d\d)(?:\s+to\s+(?P<last>\d{4}-\d\d-\d\d))?(?P<spans>(?:\s+\S+)*)",
    re.ASCII,
)
_EXAMPLE = "write them like: mon-fri 09:00-18:00, sat 10:00-14:00; except 2026-01-26"

Span = tuple[int, int]
"""Minutes from midnight: start, and end, which is over 24 h where it lies past midnight."""
ALWAYS: tuple[tuple[Span, ...], ...] = (((0, DAY_MIN),),) * 7


@dataclass(frozen=True, slots=True)
class Hours:
    """When somebody answers, by the wall clock of ``zone``; ``weekly`` begins with Monday."""

    zone: ZoneInfo
    weekly: tuple[tuple[Span, ...], ...] = ALWAYS
    exceptions: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)

    def open_at(self, at: datetime) -> bool:
        """Whether ``at`` (aware) lies in the hours; an end belongs to what follows."""
        local = at.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        today, yesterday = local.date(), local.date() - timedelta(days=1)
        return any(start <= minute < end for start, end in self.spans(today)) or any(
            minute < end - DAY_MIN for _, end in self.spans(yesterday)
        )

    def next_opening(self, at: datetime) -> datetime | None:
        """The first moment from ``at`` (aware) on that is open: ``at`` itself, if it is; or None."""
        if self.open_at(at):
            return at
        first = at.astimezone(self.zone).date()
        for offset in range(LOOK_AHEAD_DAYS):
            for moment in self._starts(first + timedelta(days=offset)):
                if moment > at and self.open_at(moment):
                    return moment
        return None

    def closes_at(self, at: datetime) -> datetime:
        """When the hours that hold at ``at`` (aware) end; ``at`` itself where it is closed. Hours
        that hold for ``LONGEST_SPAN_DAYS`` on end there."""
        end = at.astimezone(self.zone)
        for _ in range(2 * LONGEST_SPAN_DAYS):
            later = max(self._ends(end), default=end)
            if later <= end or later - at > timedelta(days=LONGEST_SPAN_DAYS):
                break
            end = later
        return end

    def spans(self, day: date) -> tuple[Span, ...]:
        """The spans that begin on ``day``, in their order."""
        found = self.exceptions.get(day)
        return self.weekly[day.weekday()] if found is None else found

    def _ends(self, at: datetime) -> Iterator[datetime]:
        """Where the spans end that ``at``, by the wall clock of ``zone``, lies in."""
        minute = at.hour * 60 + at.minute
        for back in (0, 1):
            day = at.date() - timedelta(days=back)
            for start, end in self.spans(day):
                if start <= minute + back * DAY_MIN < end:
                    midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
                    yield midnight + timedelta(minutes=end)

    def _starts(self, day: date) -> Iterator[datetime]:
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        for start, _ in self.spans(day):
            wall = midnight.replace(hour=start // 60, minute=start % 60)
            yield wall.astimezone(UTC).astimezone(self.zone)  # a time that DST leaves out, moved on


def parse_hours(text: str, timezone: str) -> Hours:
    """Read opening hours in the IANA ``timezone``; empty means always.

    Raises UserError that quotes the part which is wrong.
    """
    zone = read_zone(timezone)
    if len(text) > LONGEST_TEXT:
        raise UserError(f"Opening hours of {len(text)} letters are too long; {_EXAMPLE}.")
    folded = " ".join(text.lower().split())
    weekly_text, semicolon, rest = (part.strip() for part in folded.partition(";"))
    if weekly_text.startswith("except"):
        weekly_text, semicolon, rest = "", ";", folded
    weekly = ALWAYS if weekly_text in ("", "always") else _weekly(weekly_text)
    return Hours(zone, weekly, _exceptions(rest) if semicolon and rest else {})


def read_zone(timezone: str) -> ZoneInfo:
    """The IANA time zone of that name. Raises UserError."""
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise UserError(f"There is no time zone {timezone!r}; write one like Asia/Kolkata.") from e


def _weekly(text: str) -> tuple[tuple[Span, ...], ...]:
    spans: list[list[Span]] = [[] for _ in DAYS]
    days: set[int] = set()
    timed = True  # whether the days at hand have had a span; if not, the next part's are added
    for part in text.split(","):
        words = part.split()
        if not words:
            raise _wrong(text, "has an empty part")
        named = [word for word in words if not _SPAN.fullmatch(word)]
        if words[: len(named)] != named:
            raise _wrong(part.strip(), "has days after times")
        if named:
            chosen = set().union(*(_days(word) for word in named))
            days = chosen if timed else days | chosen
        times = [_span(word) for word in words[len(named) :]]
        timed = bool(times)
        for day in days or range(len(DAYS)):
            spans[day].extend(times)
    if not timed:
        raise _wrong(text, "ends without a time")
    return tuple(tuple(sorted(of_day)) for of_day in spans)


def _days(word: str) -> set[int]:
    if word == "daily":
        return set(range(7))
    match = _DAYS.fullmatch(word)
    if not match or match[1] not in DAYS or (match[2] and match[2] not in DAYS):
        raise _wrong(word, "is neither a day nor a time")
    first = DAYS.index(match[1])
    last = DAYS.index(match[2]) if match[2] else first
    return {day % 7 for day in range(first, last + 1 if last >= first else last + 8)}


def _span(word: str) -> Span:
    match = _SPAN.fullmatch(word)
    if not match:
        raise _wrong(word, "is no time")
    start_h, start_m, end_h, end_m = map(int, match.groups())
    start, end = start_h * 60 + start_m, end_h * 60 + end_m
    if start_m > 59 or end_m > 59 or start >= DAY_MIN or end > DAY_MIN or start == end:
        raise _wrong(word, "is no span of time")
    return (start, end if end > start else end + DAY_MIN)


def _exceptions(text: str) -> dict[date, tuple[Span, ...]]:
    word, _, rest = text.partition(" ")
    if word != "except" or not rest.strip():
        raise _wrong(text, "should be the word except and dates")
    found: dict[date, tuple[Span, ...]] = {}
    for part in rest.split(","):
        match = _EXCEPTION.fullmatch(part.strip())
        if not match:
            raise _wrong(part.strip(), "is no date like 2026-01-26")
        spans = tuple(sorted(_span(word) for word in match["spans"].split()))
        first, last = _date(match["first"]), _date(match["last"] or match["first"])
        length = (last - first).days
        if not 0 <= length <= LONGEST_EXCEPTION_DAYS:
            raise _wrong(part.strip(), "does not go from a date to a later one within a year")
        found |= {first + timedelta(days=offset): spans for offset in range(length + 1)}
    return found


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as e:
        raise _wrong(text, "is no date") from e


def _wrong(part: str, what: str) -> UserError:
    return UserError(f"Opening hours: {part!r} {what}; {_EXAMPLE}.")
