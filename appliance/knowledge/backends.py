"""What whoever reads or searches documents off a call needs: Postgres and the embedder, once each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.clients import Clients
from appliance.engines.embedder import HttpEmbedder
from appliance.engines.pool import Pool
from appliance.errors import EngineError, UserError
from appliance.settings import Settings
from appliance.store.database import opened

EMBED_PATIENCE_MS = 10_000
"""Nobody is on the line: a server busy with calls may take its time."""


@dataclass(frozen=True, slots=True)
class Backends:
    """The two servers that loading and searching knowledge need."""

    engine: AsyncEngine
    embedder: HttpEmbedder
    pool: Pool


@asynccontextmanager
async def open_backends(settings: Settings) -> AsyncIterator[Backends]:
    """Both servers, for the length of the block. Their failures leave it as a UserError."""
    async with opened(settings) as engine, aiohttp.ClientSession() as http:
        clients = Clients(settings, http, EMBED_PATIENCE_MS)
        embedder = clients.embedder
        await clients.find_servers()
        try:
            yield Backends(engine, embedder, clients.embed_pool)
        except EngineError as e:
            urls = ", ".join(settings.engines.embed.addresses()) or "none set"
            raise UserError(f"{e} (servers: {urls}). Start one with `ivr embed`.") from e
