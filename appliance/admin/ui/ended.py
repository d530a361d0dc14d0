"""Pages that are open while the session behind them ends: they are closed with it."""

from __future__ import annotations

import asyncio
import logging

from nicegui import Client
from sqlalchemy.exc import SQLAlchemyError

from appliance.access import sessions
from appliance.admin.console import Console
from appliance.admin.ui.page import SESSIONS

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""How long an ended session may still be looked at."""
GOODBYE_S = 1.0
"""Until its browser has been told where to go; then the page is gone, whatever the browser does."""


async def close_ended(console: Console) -> None:
    """Until cancelled: send pages whose session has ended, or whose person may do less now, to the
    login."""
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            await _look(console)
        except (SQLAlchemyError, OSError) as e:
            log.warning("! sessions: %s", type(e).__name__)


async def _look(console: Console) -> None:
    open_pages = dict(SESSIONS)
    if not open_pages:
        return
    living = await sessions.living(console.engine, set(open_pages.values()), console.settings.admin)
    over = [client_id for client_id, session in open_pages.items() if session not in living]
    for client_id in over:
        SESSIONS.pop(client_id, None)
        if (client := Client.instances.get(client_id)) is not None:
            client.open("/login")
    if over:
        await asyncio.sleep(GOODBYE_S)
    for client_id in over:
        if (client := Client.instances.get(client_id)) is not None:
            client.delete()
