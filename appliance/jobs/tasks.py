"""Celery's tasks: each is one call of a plain function, on an event loop of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import EngineError, UserError, reason_of
from appliance.jobs import documents, periodic
from appliance.jobs.counts import JobCounts, Outcome
from appliance.jobs.enqueue import PUBLISH, READ, send_documents, send_publishing
from appliance.jobs.periodic import PERIODIC, SWEEP, Periodic
from appliance.settings import Settings
from appliance.store.database import database_url, open_engine

POOL_SIZE = 3
"""Connections of one job: its own, the lock's, and one for its signs of life."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


TASKS = (READ, SWEEP, PUBLISH, *(entry.task for entry in PERIODIC))
"""Names of all tasks."""


def register(app: Celery, settings: Settings, counts: JobCounts | None = None) -> None:
    """Give the application its tasks and their schedule. ``counts``: what they are counted in."""
    counted = counts or JobCounts(TASKS)

    def read(document_id: int) -> None:
        with counted.running(READ) as outcome:
            work = partial(documents.read, settings, document_id)
            ids = _done("reading a document", work, outcome)
            send_documents(app, ids or ())

    def sweep() -> None:
        with counted.running(SWEEP) as outcome:
            left = _done("the sweep", lambda: _with_engine(settings, documents.sweep), outcome)
        if left is None:
            return
        send_documents(app, left.documents, expires_s=settings.jobs.sweep_s)
        if left.large_bases:
            send_publishing(app, settings.jobs.sweep_s)

    def publish() -> None:
        with counted.running(PUBLISH) as outcome:
            _done("publishing", lambda: _with_engine(settings, documents.publish_all), outcome)

    app.task(name=READ)(read)
    app.task(name=SWEEP)(sweep)
    app.task(name=PUBLISH)(publish)
    for entry in PERIODIC:
        app.task(name=entry.task)(_periodic(settings, entry, counted))
    app.conf.beat_schedule = periodic.schedule(settings)


def _periodic(settings: Settings, entry: Periodic, counts: JobCounts) -> Callable[[], None]:
    async def alone(engine: AsyncEngine, settings: Settings) -> Any:
        return await periodic.run_alone(engine, settings, entry)

    def run() -> None:
        with counts.running(entry.task) as outcome:
            said = _done(entry.name, lambda: _with_engine(settings, alone), outcome)
        if _is_news(said):
            _log.info("= %s: %s", entry.name, said)

    return run


def _is_news(said: Any) -> bool:
    """Whether a count, or a summary of counts, has anything but zeros."""
    if dataclasses.is_dataclass(said):
        return any(getattr(said, field.name) for field in dataclasses.fields(said))
    return bool(said)


async def _with_engine(
    settings: Settings, work: Callable[[AsyncEngine, Settings], Awaitable[T]]
) -> T:
    timeout_s = settings.database.connect_timeout_s
    engine = open_engine(database_url(settings), connect_timeout_s=timeout_s, pool_size=POOL_SIZE)
    try:
        return await work(engine, settings)
    finally:
        await engine.dispose()


def _done(what: str, work: Callable[[], Awaitable[T]], outcome: list[Outcome]) -> T | None:
    """What ``work`` returns; None when it failed, which is logged: the next sweep, or the next run,
    does what is left. How it ended goes into ``outcome``."""

    async def run() -> T:
        return await work()

    try:
        found = asyncio.run(run())
        outcome.append(Outcome.DONE)
        return found
    except SoftTimeLimitExceeded:
        outcome.append(Outcome.TOO_LONG)
        _log.error("! %s took too long and was ended", what)
    except (SQLAlchemyError, OSError, UserError, EngineError) as e:
        _log.warning("! %s: %s", what, reason_of(e))
    except Exception:  # border of a job
        _log.exception("! %s failed", what)
    return None
