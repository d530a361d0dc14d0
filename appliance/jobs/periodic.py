"""What is done again and again: each entry one plain function, asked by its name when it is due."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from celery.schedules import crontab
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.jobs.celery import LONG, OUT, SOON
from appliance.outreach.campaigns.pacing import EVERY_S
from appliance.settings import Settings

Work = Callable[[AsyncEngine, Settings], Awaitable[Any]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Periodic:
    """One function ``async def f(engine, settings)``, and when it is called."""

    name: str
    function: str
    """``module:function``; imported when it is due, so that what one job needs burdens no other."""
    every_s: float = 0
    """0: once a night, at ``jobs.nightly``."""
    queue: str = LONG
    """SOON: it holds up nobody for longer than its period; OUT: it waits for others' servers."""

    @property
    def task(self) -> str:
        return f"ivr.{self.name}"


SWEEP = "ivr.sweep"
PERIODIC = (
    Periodic("moderate", "appliance.review.moderation:moderate_new", 60, SOON),
    Periodic("beep", "appliance.privacy.beeping:beep_pending", 60, SOON),
    Periodic("campaigns", "appliance.outreach.campaigns.feeder:feed", EVERY_S, SOON),
    Periodic("webhooks", "appliance.outreach.webhooks.messenger:deliver", 5, OUT),
    Periodic("webhooks-late", "appliance.outreach.webhooks.messenger:find_late", 600),
    Periodic("plan", "appliance.capacity.planning:renew_plan", 300),
    Periodic("answers", "appliance.review.common:make_answers", 600),
    Periodic("golden", "appliance.review.golden:ask_golden"),
    Periodic("erase", "appliance.privacy.retention:erase_old"),
    Periodic("backup", "appliance.jobs.backup:make_backup"),
    Periodic("refresh", "appliance.jobs.documents:refresh"),
    Periodic("prune", "appliance.jobs.documents:prune"),
)


def schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Celery's ``beat_schedule``. A run that nobody took before the one after the next is due is
    dropped: of two that last longer than their period neither keeps the other out."""
    hour, minute = map(int, settings.jobs.nightly.split(":"))
    entries: dict[str, dict[str, Any]] = {
        SWEEP: {
            "task": SWEEP,
            "schedule": settings.jobs.sweep_s,
            "options": {"queue": SOON, "expires": 2 * settings.jobs.sweep_s},
        }
    }
    for periodic in PERIODIC:
        nightly = not periodic.every_s
        entries[periodic.task] = {
            "task": periodic.task,
            "schedule": crontab(hour=hour, minute=minute) if nightly else periodic.every_s,
            "options": {"queue": periodic.queue}
            | ({} if nightly else {"expires": 2 * periodic.every_s}),
        }
    return entries


async def run_alone(engine: AsyncEngine, settings: Settings, periodic: Periodic) -> Any:
    """What the function returns; None when it runs elsewhere already, or is not installed.

    A lock in Postgres: two machines may have schedules, and one run outlast its period.
    """
    work = _find(periodic)
    if work is None:
        return None
    async with engine.connect() as connection:
        lock = await connection.execution_options(isolation_level="AUTOCOMMIT")
        key = {"key": f"{periodic.task}"}
        if not await lock.scalar(text("SELECT pg_try_advisory_lock(hashtext(:key))"), key):
            _log.info("= %s is under way elsewhere", periodic.name)
            return None
        try:
            return await work(engine, settings)
        finally:
            await lock.execute(text("SELECT pg_advisory_unlock(hashtext(:key))"), key)


def _find(periodic: Periodic) -> Work | None:
    module, _, name = periodic.function.partition(":")
    try:
        work: Work = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as e:
        _log.warning("! %s is not part of this installation: %s", periodic.name, e)
        return None
    return work
