"""How much the workers carry now: asked of each over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

from appliance.media.workerlink import WorkerHealth, ask_health
from appliance.outreach.campaigns.pacing import Room

ASK_TIMEOUT_S = 1.0
"""A worker that takes longer is in no state to take calls."""


async def ask_room(urls: Sequence[str], most_calls: int) -> Room:
    """Of the workers at ``urls`` (ws://… or http://…); no more than ``most_calls`` together, the limit
    of the switch. One that is away, warms up or drains takes nothing, but may have calls."""
    async with aiohttp.ClientSession() as http:
        said = await asyncio.gather(
            *(ask_health(http, url, ASK_TIMEOUT_S) for url in dict.fromkeys(urls))
        )
    rooms = [_room(health) for health in said if health is not None]
    capacity = sum(room.capacity for room in rooms)
    return Room(min(capacity, most_calls), sum(room.calls for room in rooms))


def _room(health: WorkerHealth) -> Room:
    calls = max(0, health.calls)
    return Room(max(0, health.capacity) if health.status == "ok" else calls, calls)
