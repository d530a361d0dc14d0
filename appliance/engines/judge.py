"""Client of the turn judge (semantic end-of-turn)."""

from __future__ import annotations

import aiohttp
import orjson

from appliance.audio import bytes_of
from appliance.engines.pool import Pool
from appliance.errors import EngineError

WINDOW_MS = 8000
"""How much of a turn the model hears: its last 8 s."""


class HttpTurnJudge:
    """Asks one of a pool of turn servers; late is as good as never, so there is no second try."""

    def __init__(self, pool: Pool, http: aiohttp.ClientSession, timeout_ms: int) -> None:
        self._pool = pool
        self._http = http
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)

    async def complete(self, pcm: bytes, rate_hz: int) -> float:
        """Probability (0-1) that the turn whose last audio is ``pcm`` (L16) is complete.

        Raises EngineError when no server answers in time.
        """
        server = self._pool.pick()
        url = f"{server.http_url}/v1/turn?rate={rate_hz}"
        with self._pool.use(server):
            try:
                async with self._http.post(
                    url,
                    data=pcm[-bytes_of(WINDOW_MS, rate_hz) :],
                    headers=server.headers,
                    timeout=self._timeout,
                ) as response:
                    body = await response.read()
                    if response.status == 503:
                        raise EngineError("turn", "the server is overloaded")
                    if response.status != 200:
                        raise aiohttp.ClientError(f"status {response.status}")
                    return float(orjson.loads(body)["complete"])
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as e:
                self._pool.failed(server, f"{type(e).__name__} while judging")
                raise EngineError("turn", "no verdict in time") from e
