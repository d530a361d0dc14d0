"""The journal as the forecast wants it: one read-only transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from appliance.capacity.profile import Observed
from appliance.settings import Settings
from appliance.store import traffic
from appliance.store.database import in_database


@dataclass(frozen=True, slots=True)
class History:
    """All that planning needs to know of the past, and of what is due."""

    inbound: Observed | None
    """None where there was no call yet. Its calls at once are those of both directions."""
    outbound: tuple[int, ...]
    """Answered calls that we made, in the same intervals."""
    live: int
    holding: traffic.Holding
    outbound_holding: traffic.Holding
    costs: traffic.TurnCosts
    campaigns: traffic.Campaigns


def read_history(settings: Settings, now: datetime, ahead: timedelta) -> History:
    """The log of ``capacity.history_days``, and the calls to be made within ``ahead``.

    Blocks: some seconds for millions of calls, ``traffic.STATEMENT_TIMEOUT_S`` a query at most.
    Raises UserError where the database does not answer.
    """
    interval_s = settings.capacity.interval_s
    since = now - timedelta(days=settings.capacity.history_days)

    def work(connection: Connection) -> History:
        traffic.read_only(connection)
        arrivals = traffic.read_arrivals(connection, since, now, interval_s)
        return History(
            inbound=_observed(arrivals, arrivals.inbound) if arrivals else None,
            outbound=arrivals.outbound if arrivals else (),
            live=traffic.read_live(connection, now),
            holding=traffic.read_holding(connection, since, "in"),
            outbound_holding=traffic.read_holding(connection, since, "out"),
            costs=traffic.read_turns(connection, since),
            campaigns=traffic.read_campaigns(connection, since, now, now + ahead, interval_s),
        )

    return in_database(settings, work)


def _observed(found: traffic.Arrivals, calls: tuple[int, ...]) -> Observed:
    return Observed(found.first_s, found.interval_s, calls, found.at_once)


def utc(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
