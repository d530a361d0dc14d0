"""One JSON request to an engine server, as the clients of the small engines make it."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from appliance.engines.http import read_at_most
from appliance.errors import EngineError

MOST_BYTES = 8 << 20
"""Of an answer: 64 vectors of 384 numbers are 0.5 MB."""


NO_KEY = 401
REFUSED_TEXT = frozenset((400, 413, 422))
"""Statuses that say: this text, never; all others may pass."""


class RefusedTextError(EngineError):
    """The server will not take this request, now or later."""


async def post_json(
    http: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    limit_s: float,
    stage: str,
) -> bytes:
    """The body of a good answer.

    Raises EngineError where the server refuses the request (4xx: it is well, and another would
    refuse it too), of these RefusedTextError for what it would refuse again; aiohttp.ClientError and
    TimeoutError where the server is not well.
    """
    timeout = aiohttp.ClientTimeout(total=limit_s)
    async with http.post(url, data=body, headers=headers, timeout=timeout) as response:
        try:
            answer = await read_at_most(response, MOST_BYTES)
        except ValueError as e:
            raise aiohttp.ClientPayloadError(str(e)) from e
        if response.status == NO_KEY:
            raise aiohttp.ClientError("it asks for another key than ours: see engines.key")
        if 400 <= response.status < 500:
            refused = RefusedTextError if response.status in REFUSED_TEXT else EngineError
            raise refused(stage, f"refused with status {response.status}")
        if response.status != 200:
            raise aiohttp.ClientError(f"status {response.status}")
    return answer
