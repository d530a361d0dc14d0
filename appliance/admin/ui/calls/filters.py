"""What a person has set above the log of calls; it stands in the page's address, to be shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, time, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from appliance.errors import UserError
from appliance.store.call_log import CallsWanted
from appliance.store.outcomes import Outcome

PERIODS: dict[str, timedelta | None] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
    "all": None,
}
DEFAULT_PERIOD = "7d"
LONGEST_LETTERS = 100
MOST_MS = 600_000


@dataclass
class Filters:
    """As typed; each field is the query parameter of its name."""

    period: str = DEFAULT_PERIOD
    since: str = ""
    """YYYY-MM-DD in the site's time zone; with ``until`` it goes before ``period``."""
    until: str = ""
    """The last day, inclusive."""
    number: str = ""
    agent: str = ""
    language: str = ""
    direction: str = ""
    outcome: str = ""
    flagged: str = ""
    slow: str = ""
    """ms."""
    recorded: str = ""
    cursor: str = ""

    def query(self, *, page: bool = True) -> str:
        """The query string: what is set and not as it is by default."""
        default = Filters()
        pairs = [
            (field.name, getattr(self, field.name))
            for field in fields(self)
            if getattr(self, field.name) != getattr(default, field.name)
            and (page or field.name != "cursor")
        ]
        return urlencode(pairs)

    def wanted(self, zone: str, now: datetime) -> CallsWanted:
        """The search. Raises UserError for what is no day or no number of ms."""
        since = _day(self.since, zone)
        until = _day(self.until, zone)
        if until is not None:
            until += timedelta(days=1)
        span = PERIODS.get(self.period, PERIODS[DEFAULT_PERIOD])
        if since is None and until is None and span is not None:
            since = now - span
        return CallsWanted(
            since=since,
            until=until,
            number=self.number,
            agent_id=self.agent,
            language=self.language,
            direction=self.direction if self.direction in ("in", "out", "test") else "",
            outcome=Outcome(self.outcome) if self.outcome in set(Outcome) else None,
            flagged=self.flagged if self.flagged in ("open", "any") else "",
            slower_than_ms=_ms(self.slow),
            recorded={"yes": True, "no": False}.get(self.recorded),
        )

    def export_query(self, zone: str, now: datetime) -> str:
        """The same search for ``GET /api/v1/calls.csv``."""
        wanted = self.wanted(zone, now)
        pairs = {
            "since": wanted.since.isoformat() if wanted.since else "",
            "until": wanted.until.isoformat() if wanted.until else "",
            "number": wanted.number,
            "agent": wanted.agent_id,
            "language": wanted.language,
            "direction": wanted.direction,
            "outcome": wanted.outcome.value if wanted.outcome else "",
            "flagged": wanted.flagged,
            "slower_than_ms": "" if wanted.slower_than_ms is None else str(wanted.slower_than_ms),
            "recorded": "" if wanted.recorded is None else str(wanted.recorded).lower(),
        }
        return urlencode({name: value for name, value in pairs.items() if value})


def read_filters(query: Mapping[str, str]) -> Filters:
    """The filters of an address; what it should not hold is left out."""
    found = Filters()
    for field in fields(Filters):
        value = query.get(field.name, "").replace("\0", "")
        if value:
            setattr(found, field.name, value[: 500 if field.name == "cursor" else LONGEST_LETTERS])
    if found.period not in PERIODS:
        found.period = DEFAULT_PERIOD
    return found


def _day(text: str, zone: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").date()
    except ValueError as e:
        raise UserError(f"{text.strip()} is no day. Write it as 2026-11-20.") from e
    if not 2000 <= day.year <= 2999:
        raise UserError(f"{text.strip()} is no day of any call.")
    return datetime.combine(day, time(), ZoneInfo(zone))


def _ms(text: str) -> int | None:
    text = text.strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text[:9]) > MOST_MS:
        raise UserError(f"{text} is no number of ms up to {MOST_MS}.")
    return int(text)
