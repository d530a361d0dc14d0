"""Client of the embedding servers (OpenAI's shape of ``/v1/embeddings``)."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp
import orjson

from appliance.engines.pool import Pool, Server
from appliance.errors import EngineError

NAME = "minilm"


class HttpEmbedder:
    """Asks one of a pool of embedding servers; another at once when one breaks."""

    def __init__(
        self, pool: Pool, http: aiohttp.ClientSession, timeout_ms: int, model: str = NAME
    ) -> None:
        self._pool = pool
        self._http = http
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)
        self._model = model

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One unit-length vector a text, in order.

        Raises EngineError when no server gives them in time.
        """
        if not texts:
            return []
        server = self._pool.pick()
        body = orjson.dumps({"model": self._model, "input": list(texts)})
        try:
            return await self._ask(server, body, len(texts))
        except (aiohttp.ClientError, TimeoutError) as e:
            self._pool.failed(server, f"{type(e).__name__} while embedding")
        other = self._pool.pick(avoid=frozenset({server}))
        try:
            return await self._ask(other, body, len(texts))
        except (aiohttp.ClientError, TimeoutError) as e:
            self._pool.failed(other, f"{type(e).__name__} while embedding")
            raise EngineError("embed", f"no vectors: {type(e).__name__}") from e

    async def _ask(self, server: Server, body: bytes, count: int) -> list[list[float]]:
        with self._pool.use(server):
            return await self._post(server.http_url, body, count)

    async def _post(self, base_url: str, body: bytes, count: int) -> list[list[float]]:
        headers = {"Content-Type": "application/json"}
        async with self._http.post(
            f"{base_url}/v1/embeddings", data=body, headers=headers, timeout=self._timeout
        ) as response:
            answer = await response.read()
            if 400 <= response.status < 500:  # our request or its queue; the server is well
                raise EngineError("embed", f"refused with status {response.status}")
            if response.status != 200:
                raise aiohttp.ClientError(f"status {response.status}")
        return _vectors(answer, count)


def _vectors(answer: bytes, count: int) -> list[list[float]]:
    try:
        rows = sorted(orjson.loads(answer)["data"], key=lambda row: row["index"])
        vectors = [list(map(float, row["embedding"])) for row in rows]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as e:
        raise aiohttp.ClientPayloadError("not an embeddings answer") from e
    if len(vectors) != count:
        raise aiohttp.ClientPayloadError(f"{len(vectors)} vectors for {count} texts")
    return vectors
