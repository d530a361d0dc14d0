"""The connections of searches: a few, kept open, each set up once for what searches need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from sqlalchemy import URL

SIZE = 4
"""More statements than that at once only get into each other's way on the cores of a small server."""
CONNECT_TIMEOUT_S = 3
UNANSWERED_MS = 10_000
"""A host that acknowledges nothing this long is gone, and so is the connection."""
PREPARED_MOST = 200
"""Statements kept ready in a connection: each scope has two or three."""
OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        # Our statements are written for one plan each; planning one takes as long as running it.
        "plan_cache_mode": "force_generic_plan",
        "enable_sort": "off",  # the order by distance comes from the HNSW index where there is one
        "hnsw.ef_search": 64,
        # of rows that a filter leaves out, look further (pgvector 0.8; older ones leave fewer)
        "hnsw.iterative_scan": "relaxed_order",
        "jit": "off",
        "application_name": "ivr-search",
    }.items()
)

Driver = AsyncConnection[tuple[Any, ...]]
T = TypeVar("T")


class Lanes:
    """At most :data:`SIZE` connections; who comes when all are taken waits (the caller bounds it)."""

    def __init__(self, url: URL, size: int = SIZE) -> None:
        """``url`` as SQLAlchemy has it. Connects on first use."""
        self._url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._idle: list[Driver] = []
        self._free = asyncio.Semaphore(size)
        self._closed = False

    async def run(self, work: Callable[[Driver], Awaitable[T]]) -> T:
        """``work`` with a connection of its own; a second time when the one kept had died meanwhile.

        Raises psycopg.Error, and what ``work`` raises.
        """
        async with self._free:
            while self._idle:
                kept = self._idle.pop()
                try:
                    async with self._lent(kept):
                        return await work(kept)
                except psycopg.OperationalError:
                    if not kept.closed:
                        raise
            async with self._lent(await self._connect()) as fresh:
                return await work(fresh)

    async def warm(self) -> None:
        """See to it that a connection is open. Raises psycopg.Error."""
        if not self._idle:
            async with self._free, self._lent(await self._connect()):
                pass

    async def close(self) -> None:
        """Let go of the connections that nobody uses; the others follow when they are given back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    @asynccontextmanager
    async def _lent(self, connection: Driver) -> AsyncIterator[Driver]:
        """Kept for the next when it is still whole: a statement given up in the middle leaves one
        that cannot be used."""
        whole = False
        try:
            yield connection
            whole = True
        except psycopg.Error:
            whole = not connection.closed
            raise
        finally:
            if whole and not self._closed:
                self._idle.append(connection)
            else:
                await connection.close()

    async def _connect(self) -> Driver:
        connection = await AsyncConnection.connect(
            self._url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            tcp_user_timeout=UNANSWERED_MS,
            options=OPTIONS,
            prepare_threshold=1,
        )
        connection.prepared_max = PREPARED_MOST
        return connection
