"""Telling the workers that there is work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import OperationalError

from appliance.errors import reason_of
from appliance.jobs.celery import BULK, FIRST, LONG, make_app
from appliance.settings import Settings

READ = "ivr.read"
"""Name of the job that reads one document."""
PUBLISH = "ivr.publish"
"""Name of the job that puts in force what is ready of large bases."""

_log = logging.getLogger(__name__)


def send_documents(app: Celery, ids: Sequence[int], *, expires_s: float | None = None) -> bool:
    """Have documents read. False: Redis does not take it; the sweep will. Blocks."""
    return all(_send(app, READ, (document_id,), BULK, expires_s) for document_id in ids)


def send_publishing(app: Celery, expires_s: float) -> bool:
    """Have large bases published. As :func:`send_documents`."""
    return _send(app, PUBLISH, (), FIRST, expires_s)


def _send(
    app: Celery, name: str, arguments: Sequence[int], priority: int, expires_s: float | None
) -> bool:
    options = {"queue": LONG, "priority": priority, "expires": expires_s, "retry": False}
    try:
        app.send_task(name, tuple(arguments), **options)
    except (OperationalError, OSError) as e:
        _log.warning("! Redis takes no jobs (%s); the next sweep finds them", reason_of(e))
        return False
    return True


async def tell_workers(settings: Settings, ids: Sequence[int]) -> bool:
    """:func:`send_documents`, from a process that is no worker."""
    app = make_app(settings)
    try:
        return await asyncio.to_thread(send_documents, app, ids)
    finally:
        app.close()
