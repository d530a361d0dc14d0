"""Client of the reranking servers (``/rerank`` as Jina, Cohere and vLLM have it)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import aiohttp
import orjson

from appliance.engines.pool import Pool, Server
from appliance.engines.posting import post_json
from appliance.errors import EngineError


class HttpReranker:
    """Asks one of a pool of reranking servers; another at once when one breaks, within one timeout.

    A server that is merely late stays in: the order that it should mend stands without it, and its
    own health says when it hangs.
    """

    def __init__(
        self, pool: Pool, http: aiohttp.ClientSession, timeout_ms: int, model: str = ""
    ) -> None:
        self._pool = pool
        self._http = http
        self._timeout_s = timeout_ms / 1000
        self._model = model or "rerank"

    async def rerank(self, question: str, texts: Sequence[str]) -> list[float]:
        """A score a text, in the order of ``texts``; the higher, the better it answers ``question``.

        Raises EngineError when no server gives them within the timeout.
        """
        if not texts:
            return []
        request = {
            "model": self._model,
            "query": question,
            "documents": list(texts),
            "top_n": len(texts),
        }
        body = orjson.dumps(request)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._from_any(body, len(texts))
        except TimeoutError as e:
            raise EngineError("rerank", f"no scores in {self._timeout_s * 1000:.0f} ms") from e

    async def _from_any(self, body: bytes, count: int) -> list[float]:
        server = self._pool.pick()
        try:
            return await self._ask(server, body, count)
        except aiohttp.ClientError as e:
            self._pool.failed(server, f"{type(e).__name__} while reranking")
        other = self._pool.pick(avoid=frozenset({server}))
        try:
            return await self._ask(other, body, count)
        except aiohttp.ClientError as e:
            self._pool.failed(other, f"{type(e).__name__} while reranking")
            raise EngineError("rerank", f"no scores: {type(e).__name__}") from e

    async def _ask(self, server: Server, body: bytes, count: int) -> list[float]:
        url = f"{server.http_url}/rerank"
        limit_s = self._timeout_s * 2  # ours ends first: being late is no failure of the server
        with self._pool.use(server):
            answer = await post_json(self._http, url, body, server.json_headers, limit_s, "rerank")
            return _scores(answer, count)


def _scores(answer: bytes, count: int) -> list[float]:
    """The scores by the index of their text: an answer has them best first."""
    scores: dict[int, float] = {}
    try:
        for row in orjson.loads(answer)["results"]:
            scores[int(row["index"])] = float(row["relevance_score"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as e:
        raise aiohttp.ClientPayloadError("not a rerank answer") from e
    if scores.keys() != set(range(count)) or not all(map(math.isfinite, scores.values())):
        raise aiohttp.ClientPayloadError(f"{len(scores)} scores for {count} texts")
    return [scores[index] for index in range(count)]
