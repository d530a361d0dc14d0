"""The journal as the forecast wants it: one read-only transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from appliance.capacity.profile import Observed
from appliance.errors import UserError
from appliance.settings import Settings
from appliance.store import traffic
from appliance.store.database import database_url, explain, open_sync_engine

T = TypeVar("T")


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

    return _in_database(settings, work)


def read_actual(settings: Settings, since: datetime, now: datetime) -> Observed | None:
    """Calls per interval from ``since`` on, both directions. Raises UserError as above."""

    def work(connection: Connection) -> Observed | None:
        traffic.read_only(connection)
        found = traffic.read_arrivals(connection, since, now, settings.capacity.interval_s)
        if found is None:
            return None
        calls = tuple(a + b for a, b in zip(found.inbound, found.outbound, strict=True))
        return _observed(found, calls)

    return _in_database(settings, work)


def _observed(found: traffic.Arrivals, calls: tuple[int, ...]) -> Observed:
    return Observed(found.first_s, found.interval_s, calls, found.at_once)


def utc(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def _in_database(settings: Settings, work: Callable[[Connection], T]) -> T:
    url = database_url(settings)
    engine = open_sync_engine(
        url, connect_timeout_s=settings.database.connect_timeout_s, pool_size=1
    )
    try:
        with engine.begin() as connection:
            return work(connection)
    except (SQLAlchemyError, OSError) as e:
        raise UserError(explain(url, e)) from e
    finally:
        engine.dispose()
