"""``ivr switch`` asked over its HTTP API, without blocking the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from appliance.errors import UserError
from appliance.settings import SWITCH_SECRET, Settings

TIMEOUT_S = 5.0
LARGEST_ANSWER_BYTES = 4 << 20
NOT_RUNNING = "No ivr switch runs here, so no telephone can be rung and no call be transferred."


async def ask_switch(
    settings: Settings,
    http: aiohttp.ClientSession,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any] | None:
    """What it answers; None when none runs, or there is no such thing (404).

    Raises UserError: it refuses, or does not answer in time.
    """
    switch = settings.switch
    host = "127.0.0.1" if switch.api_host == "0.0.0.0" else switch.api_host
    secret = await asyncio.to_thread(settings.secret, SWITCH_SECRET)
    try:
        asking = http.request(
            method, f"http://{host}:{switch.api_port}{path}",
            data=None if method == "GET" else orjson.dumps(body or {}),
            headers={"Authorization": f"Bearer {secret}"},
            timeout=aiohttp.ClientTimeout(total=timeout_s), allow_redirects=False,
        )  # fmt: skip
        async with asking as response:
            status, answer = response.status, await _read(response)
    except aiohttp.ClientConnectorError:
        return None
    except (aiohttp.ClientError, TimeoutError, OSError) as e:
        why = str(e) or type(e).__name__
        raise UserError(f"ivr switch did not answer: {why}. Try again in a moment.") from e
    if status == 404:
        return None
    if status >= 400:
        raise UserError(f"ivr switch refused: {answer.get('error', f'status {status}')}")
    return answer


async def _read(response: aiohttp.ClientResponse) -> dict[str, Any]:
    body = await response.content.read(LARGEST_ANSWER_BYTES)
    while len(body) < LARGEST_ANSWER_BYTES and (more := await response.content.read(1 << 16)):
        body += more
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
