"""Telling the workers that there is work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import OperationalError

from appliance.errors import reason_of
from appliance.jobs.celery import BULK, make_app
from appliance.settings import Settings

READ = "ivr.read"
"""Name of the job that reads one document."""

_log = logging.getLogger(__name__)


def send_documents(app: Celery, ids: Sequence[int], *, expires_s: float | None = None) -> bool:
    """Have documents read. False: Redis does not take it; the sweep will. Blocks."""
    try:
        for document_id in ids:
            app.send_task(READ, (document_id,), priority=BULK, expires=expires_s, retry=False)
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
