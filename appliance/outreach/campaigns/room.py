"""How much the workers carry now: asked of each over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import aiohttp
import orjson

from appliance.outreach.campaigns.pacing import Room

ASK_TIMEOUT_S = 1.0
"""A worker that takes longer is in no state to take calls."""
LARGEST_ANSWER_BYTES = 64 * 1024
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError)

log = logging.getLogger(__name__)


async def ask_room(urls: Sequence[str], most_calls: int) -> Room:
    """Of the workers at ``urls`` (ws://… or http://…); no more than ``most_calls`` together, the limit
    of the switch. One that is away, warms up or drains takes nothing, but may have calls."""
    timeout = aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        said = await asyncio.gather(*(_ask(http, url) for url in dict.fromkeys(urls)))
    capacity = sum(one.capacity for one in said)
    return Room(min(capacity, most_calls), sum(one.calls for one in said))


async def _ask(http: aiohttp.ClientSession, url: str) -> Room:
    address = url.rstrip("/").replace("ws", "http", 1) + "/health"
    try:
        async with http.get(address, allow_redirects=False) as response:
            health = orjson.loads(await response.content.read(LARGEST_ANSWER_BYTES))
        calls, capacity = int(health["calls"]), int(health["capacity"])
        takes = health["status"] == "ok"
    except _FAILURES as e:
        log.debug("! %s does not say how it is: %s", address, type(e).__name__)
        return Room(0, 0)
    return Room(max(0, capacity) if takes else max(0, calls), max(0, calls))
