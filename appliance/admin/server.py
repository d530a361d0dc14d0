"""``ivr admin``: the console and the API on one port, over HTTPS."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import uvicorn

from appliance import readiness
from appliance.admin.app import make_app
from appliance.admin.connections import connections
from appliance.admin.console import Console
from appliance.admin.live.hub import LiveHub
from appliance.admin.tls import certificate
from appliance.admin.ui.ended import close_ended
from appliance.settings import Settings
from appliance.store.database import database_url, open_engine

log = logging.getLogger(__name__)

POOL_SIZE = 10
"""Connections to Postgres: pages ask several things at once."""
STATE_POLL_S = 0.1
STOP_TIMEOUT_S = 5
"""Browsers keep their websockets open; after this they are closed."""


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises UserError: the certificate cannot be read."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its INFO has URLs of websockets in it
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    admin = settings.admin
    files = certificate(settings) if admin.tls else None
    async with open_console(settings) as console:
        config = uvicorn.Config(
            make_app(console),
            http=connections(behind_proxy=not admin.tls),
            host=admin.host,
            port=admin.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=not admin.tls,
            forwarded_allow_ips="127.0.0.1",
            log_level=None,
            ssl_certfile=files[0] if files else None,
            ssl_keyfile=files[1] if files else None,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
        )
        scheme = "https" if files else "http"
        log.info("= console at %s://%s:%d", scheme, admin.host, admin.port)
        await _serve_and_tell(uvicorn.Server(config))


async def _serve_and_tell(server: uvicorn.Server) -> None:
    """Serve; the service manager hears when we listen, and that we live."""
    beside = [
        asyncio.create_task(_tell_state(server), name="readiness"),
        asyncio.create_task(readiness.watchdog(), name="watchdog"),
    ]
    try:
        await server.serve()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _tell_state(server: uvicorn.Server) -> None:
    while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
        await asyncio.sleep(STATE_POLL_S)
    readiness.ready("the console is served")
    while not server.should_exit:  # noqa: ASYNC110
        await asyncio.sleep(STATE_POLL_S)
    readiness.stopping()


@asynccontextmanager
async def open_console(settings: Settings) -> AsyncIterator[Console]:
    """What pages and API need, for the length of the block. Postgres may be away."""
    url, timeout_s = database_url(settings), settings.database.connect_timeout_s
    engine = open_engine(url, connect_timeout_s=timeout_s, pool_size=POOL_SIZE)
    async with aiohttp.ClientSession() as http:
        console = Console(settings, engine, LiveHub(settings, engine), http)
        tasks = [
            asyncio.create_task(console.live.run(), name="live hub"),
            asyncio.create_task(console.lag.run(), name="loop lag"),
            asyncio.create_task(close_ended(console), name="ended sessions"),
        ]
        try:
            yield console
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await console.test_calls.close()
            await engine.dispose()
