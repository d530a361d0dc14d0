"""From the journal to ``plan.json``: what every process that scales servers calls now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.capacity import servers
from appliance.capacity.campaigns import Pacing, Waiting, answered
from appliance.capacity.forecast import Forecast, Now, forecast
from appliance.capacity.history import History, read_history, utc
from appliance.capacity.plan import CallsAt, Policy, Pool, over_time
from appliance.capacity.planfile import PlanFile, write_plan
from appliance.capacity.profile import Site, weekday
from appliance.capacity.services import Service, answer_share, holding_s, services
from appliance.capacity.warmups import WarmUps
from appliance.errors import UserError
from appliance.settings import Settings
from appliance.telephony.hours import Hours, parse_hours, read_zone

_log = logging.getLogger(__name__)

FRESH_S = 240.0
"""A plan so young was made by the process that runs the servers, or by us: it is not due."""
AHEAD_H = 24
"""How far a plan reaches: it is made anew every few minutes."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """A forecast with all that it was made of."""

    at_s: float
    site: Site
    history: History
    forecast: Forecast
    needs: Mapping[str, Service]
    pools: Mapping[str, Pool]
    policy: Policy
    live: tuple[servers.Live, ...]
    """Servers that answered their ``/health``."""

    def plan(self) -> PlanFile:
        """The servers over time that it asks for."""
        calls = tuple(
            CallsAt(i.from_s, round(i.calls, 2), i.calls_upper) for i in self.forecast.intervals
        )
        interval_s = self.site.interval_s
        return PlanFile(
            made_at=self.at_s,
            interval_s=interval_s,
            servers={
                name: over_time(calls, interval_s, pool, self.policy)
                for name, pool in self.pools.items()
            },
            calls=calls,
        )


def make_plan(settings: Settings) -> PlanFile:
    """The plan of the next ``AHEAD_H`` hours. Raises UserError where the database does not answer.

    Blocks for some seconds (call it in a thread from async code): a few grouped queries and one
    ``/health`` of each server. Nothing is written; see :func:`planfile.write_plan`.
    """
    return look_ahead(settings).plan()


def look_ahead(settings: Settings, hours: int = AHEAD_H, at_s: float | None = None) -> Outlook:
    """The forecast of the next ``hours`` as seen at ``at_s`` (unix seconds; now). Blocks, raises as
    :func:`make_plan`."""
    now_s = time.time() if at_s is None else at_s
    history = read_history(settings, utc(now_s), timedelta(hours=hours))
    live = servers.ask(settings)
    needs = services(history.holding, history.costs, has_llm=settings.engines.llm.is_served)
    site = site_of(settings)
    count = -(-hours * 3600 // site.interval_s)
    first_s = int(now_s // site.interval_s) * site.interval_s
    starts = [first_s + i * site.interval_s for i in range(count)]
    made = forecast(
        history.inbound,
        site,
        Now(now_s, history.live, holding_s(history.holding)),
        count,
        settings.capacity.quantile,
        planned_calls(settings, history, starts),
    )
    capacity = settings.capacity
    return Outlook(
        at_s=now_s,
        site=site,
        history=history,
        forecast=made,
        needs=needs,
        pools=servers.pools(settings, needs, live, WarmUps(settings.data_dir).measured()),
        policy=Policy(capacity.wait_share, capacity.headroom, capacity.idle_s),
        live=tuple(live),
    )


def site_of(settings: Settings) -> Site:
    """Time zone, holidays and interval of the settings. Raises UserError for an unknown zone."""
    holidays = {day: weekday(like) for day, like in settings.capacity.holidays.items()}
    return Site(read_zone(settings.switch.timezone), settings.capacity.interval_s, holidays)


def planned_calls(settings: Settings, history: History, starts: list[int]) -> list[float]:
    """Answered calls of campaigns in each interval that begins at ``starts``."""
    campaigns = history.campaigns
    hours = {due.hours: _hours(settings, due.hours) for due in campaigns.due}
    pacing = Pacing(
        answer_share(campaigns.attempts, campaigns.answered),
        holding_s(history.outbound_holding),
        settings.switch.max_calls,
    )
    waiting = [Waiting(due.at_s, due.calls, due.hours) for due in campaigns.due]
    return answered(waiting, hours, starts, settings.capacity.interval_s, pacing)


def _hours(settings: Settings, text: str) -> Hours:
    """A row with broken hours is made in the usual ones: the dialler refuses it, if at all."""
    usual = settings.switch.calling_hours
    try:
        return parse_hours(text or usual, settings.switch.timezone)
    except UserError as e:
        _log.warning("! calls to be made have hours that cannot be read: %s", e)
        return parse_hours(usual, settings.switch.timezone)


async def renew_plan(engine: AsyncEngine, settings: Settings) -> bool:
    """Make the plan for engine servers whose keeper may not see the database, and put it in force;
    False where somebody else does, or nobody wants one. Raises UserError, SQLAlchemyError, OSError."""
    if not settings.capacity.plan or await asyncio.to_thread(_is_fresh, settings):
        return False
    made = await asyncio.to_thread(make_plan, settings)
    await asyncio.to_thread(write_plan, settings.plan_file, made)
    return True


def _is_fresh(settings: Settings) -> bool:
    try:
        return time.time() - settings.plan_file.stat().st_mtime < FRESH_S
    except OSError:
        return False
