"""A streamed HTTP answer under timeouts, closed on the server's side too when nobody wants it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from math import inf

import aiohttp

REFUSALS = frozenset({400, 413, 415, 422, 429, 503})
"""Statuses of a server that is well: it cannot do this one request, or has too many now."""


class RefusedError(Exception):
    """A server that is well refused one request. It must stay in its pool: else a phrase that no
    voice can speak, or one request too many, would take the stage away from every call."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class TooLongError(Exception):
    """An answer that came piece by piece, each in time, and found no end."""


async def read_at_most(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The whole body, however many pieces it comes in. Raises ValueError when it is over ``most``
    bytes: a server that finds no end fills no memory."""
    body = bytearray()
    while piece := await response.content.read(most + 1 - len(body)):
        body += piece
        if len(body) > most:
            response.close()
            raise ValueError(f"the answer is over {most} bytes")
    return bytes(body)


async def stream(
    http: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    first_timeout_s: float,
    next_timeout_s: float,
    longest_wait_s: float = inf,
    refusals: frozenset[int] = REFUSALS,
) -> AsyncGenerator[bytes, None]:
    """POST ``body`` and yield the answer's bytes as they arrive.

    ``first_timeout_s`` runs until the first bytes, ``next_timeout_s`` between any two,
    ``longest_wait_s`` for all of them after the first together; time that the consumer spends between
    two of them does not count. Closing the iterator closes the connection,
    which is how the server learns that the rest is not wanted. Raises RefusedError for a status in
    ``refusals``, aiohttp.ClientError (also for any other status but 200), TimeoutError, or
    TooLongError when ``longest_wait_s`` is over.
    """
    async with asyncio.timeout(first_timeout_s):
        response = await http.post(url, data=body, headers=headers)
        if response.status != 200:
            response.close()
            if response.status in refusals:
                raise RefusedError(response.status)
            raise aiohttp.ClientError(f"status {response.status}")
        try:
            chunk = await response.content.readany()
        except BaseException:
            response.close()
            raise
    now, left_s = asyncio.get_running_loop().time, longest_wait_s
    try:
        while chunk:
            yield chunk
            waits_since = now()
            async with asyncio.timeout(next_timeout_s):
                chunk = await response.content.readany()
            left_s -= now() - waits_since
            if left_s <= 0:
                raise TooLongError
    finally:
        response.close()  # of no effect once the answer has been read to its end
