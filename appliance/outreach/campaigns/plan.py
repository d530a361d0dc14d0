"""What a campaign is to be: whom it asks to talk, when, how many at once, how often."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from appliance.errors import UserError
from appliance.outreach.campaigns.window import window_of
from appliance.settings import Switch

LONGEST_NAME_LETTERS = 120
MOST_AT_ONCE = 1000
MOST_ATTEMPTS = 20
RETRY_S = (60, 7 * 86400)
YEARS = range(2000, 2101)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign is to be."""

    name: str
    agent_id: str
    hours: str = ""
    """As ``telephony.hours`` reads it; empty: the site's calling hours. Those hold in any case."""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    most_at_once: int = 5
    capacity_share: float = 0.5
    max_attempts: int = 3
    retry_after_s: int = 3600


def checked(switch: Switch, plan: Plan) -> dict[str, object]:
    """The columns of a plan that can be. Raises UserError naming what is wrong."""
    name = " ".join(plan.name.split())
    if not name or len(name) > LONGEST_NAME_LETTERS or not name.isprintable():
        raise UserError(f"Give it a name of 1 to {LONGEST_NAME_LETTERS} letters.")
    for what, value, least, most in (
        ("At once", plan.most_at_once, 1, MOST_AT_ONCE),
        ("Tries", plan.max_attempts, 1, MOST_ATTEMPTS),
        ("The wait between tries in seconds", plan.retry_after_s, *RETRY_S),
    ):
        if not least <= value <= most:
            raise UserError(f"{what}: {value} is not from {least} to {most}.")
    if not 0 < plan.capacity_share <= 1:
        raise UserError("The share of free places is more than 0 % and at most 100 %.")
    starts, ends = _checked_time(plan.starts_at), _checked_time(plan.ends_at)
    if starts is not None and ends is not None and ends <= starts:
        raise UserError("Its last day lies before its first one.")
    window = window_of(plan.hours, switch.calling_hours, switch.timezone, starts, ends)
    if window.next_opening(datetime.now(UTC)) is None:
        raise UserError(
            "It would never ring: its hours and days leave no moment inside the site's calling"
            f" hours ({switch.calling_hours})."
        )
    values = asdict(plan) | {"name": name, "starts_at": starts, "ends_at": ends}
    return values | {"hours": " ".join(plan.hours.split())}


def _checked_time(at: datetime | None) -> datetime | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise UserError("A time needs its zone, such as 2026-05-04T09:00:00+05:30.")
    if at.year not in YEARS:  # the ends of the calendar cannot be told in another zone
        raise UserError(f"A campaign lies between the years {YEARS[0]} and {YEARS[-1]}.")
    return at
