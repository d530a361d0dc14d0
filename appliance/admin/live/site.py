"""The box as it was seen some seconds ago at most, for however many people look at it."""

from __future__ import annotations

import asyncio
import time

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.ops.sitelook import Site, look
from appliance.settings import Settings

FRESH_S = 3.0


class SiteCache:
    """One look at a time, shared by all who ask meanwhile."""

    def __init__(self, settings: Settings, engine: AsyncEngine) -> None:
        self._settings = settings
        self._engine = engine
        self._site: Site | None = None
        self._looked_s = 0.0
        self._looking = asyncio.Lock()

    async def get(self, http: aiohttp.ClientSession) -> Site:
        """The box, seen ``FRESH_S`` ago at most."""
        async with self._looking:
            if self._site is None or time.monotonic() - self._looked_s > FRESH_S:
                self._site = await look(self._settings, http, self._engine)
                self._looked_s = time.monotonic()
            return self._site
