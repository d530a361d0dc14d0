"""One JSON request to an engine server, as the clients of the small engines make it."""

from __future__ import annotations

import aiohttp

from appliance.engines.http import read_at_most
from appliance.errors import EngineError

HEADERS = {"Content-Type": "application/json"}
MOST_BYTES = 8 << 20
"""Of an answer: 64 vectors of 384 numbers are 0.5 MB."""


async def post_json(
    http: aiohttp.ClientSession, url: str, body: bytes, limit_s: float, stage: str
) -> bytes:
    """The body of a good answer.

    Raises EngineError where the server refuses the request (4xx: it is well, and another would
    refuse it too); aiohttp.ClientError and TimeoutError where the server is not well.
    """
    timeout = aiohttp.ClientTimeout(total=limit_s)
    async with http.post(url, data=body, headers=HEADERS, timeout=timeout) as response:
        try:
            answer = await read_at_most(response, MOST_BYTES)
        except ValueError as e:
            raise aiohttp.ClientPayloadError(str(e)) from e
        if 400 <= response.status < 500:
            raise EngineError(stage, f"refused with status {response.status}")
        if response.status != 200:
            raise aiohttp.ClientError(f"status {response.status}")
    return answer
