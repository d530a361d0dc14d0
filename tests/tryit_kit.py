"""People who try an agent: a console's services and a real worker in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.admin.console import Console
from appliance.admin.live.hub import LiveHub
from appliance.admin.services import tryit
from appliance.admin.services.tryit import Trying
from appliance.events import Agent
from appliance.settings import Settings
from tests.live_kit import LiveWorker, actor, live_settings
from tests.webrtcpeer import Peer

UNTIL_S = 20.0


class Directory:
    """One agent and its draft."""

    def __init__(self, published: Agent, draft: Agent | None) -> None:
        self.published = published
        self.draft = draft

    async def agent_for(self, did: str) -> Agent:
        return self.published

    async def agent_by_id(self, agent_id: str, version: int = 0) -> Agent:
        return self.published

    async def draft_of(self, agent_id: str) -> Agent:
        assert self.draft is not None
        return self.draft


@asynccontextmanager
async def place(
    settings: Settings, engine: AsyncEngine, published: Agent, draft: Agent | None = None
) -> AsyncIterator[tuple[Console, LiveWorker]]:
    """A console, and a worker that carries real calls with emulated engines."""
    worker = LiveWorker(settings, settings.worker.port, (published,))
    directory: Any = Directory(published, draft)
    worker.phone.directory = directory
    await worker.start()
    async with aiohttp.ClientSession() as http:
        console = Console(settings, engine, LiveHub(settings, engine), http)
        try:
            yield console, worker
        finally:
            await console.test_calls.close()
            await worker.stop()


async def until(
    console: Console, call_id: str, look: Callable[[Trying], object], who: Any = None
) -> Trying:
    """The call, as soon as ``look`` finds it so."""
    async with asyncio.timeout(UNTIL_S):
        async for now in tryit.follow(console, who or actor(), call_id):
            if look(now):
                return now
    raise AssertionError("the call ended before it was so")


__all__ = ["Peer", "actor", "live_settings"]
