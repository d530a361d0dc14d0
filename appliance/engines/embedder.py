"""Client of the embedding servers (OpenAI's shape of ``/v1/embeddings``)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import orjson

from appliance.engines.base import Kind
from appliance.engines.pool import Health, Pool, Server
from appliance.engines.posting import post_json
from appliance.errors import EngineError

NAME = "embed"
"""What requests call the model: a server of ours has one, and says in its answer which."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Vectors:
    """An answer: a vector a text, and the model that they come from."""

    model: str
    rows: list[list[float]]


class HttpEmbedder:
    """Asks one of a pool of embedding servers; another at once when one breaks."""

    def __init__(
        self, pool: Pool, http: aiohttp.ClientSession, timeout_ms: int, model: str = NAME
    ) -> None:
        self._pool = pool
        self._http = http
        self._timeout_s = timeout_ms / 1000
        self._asked = model
        self._answered = ""

    @property
    def model(self) -> str:
        """Name and revision of the model that the last vectors came from; empty before the first."""
        return self._answered

    def note_on(self, language: str) -> str:
        """One sentence for the operator where the servers that are up do not understand ``language``
        (BCP 47; empty: not known), and texts in it are found by their words alone; else empty."""
        if not language:
            return ""
        up = [server for server in self._pool.servers if server.health is Health.UP]
        if not up or any(server.serves(language) for server in up):
            return ""
        return (
            f"The embedding model ({self._answered or up[0].engine}) does not understand {language}:"
            " knowledge in it is found by its words alone. Run a multilingual one: ivr embed --engine"
            " onnx --model multilingual-e5-small (docs/retrieval-models.md)."
        )

    async def embed(self, texts: Sequence[str], kind: Kind = "") -> list[list[float]]:
        """One unit-length vector a text, in order; :attr:`model` is then the model they come from.

        ``kind`` goes to the server as ``input_type``: questions go before passages there.
        Raises EngineError when no server gives them in time.
        """
        if not texts:
            return []
        kind = kind or ("query" if len(texts) == 1 else "passage")
        request = {"model": self._asked, "input": list(texts), "input_type": kind}
        vectors = await self._from_any(orjson.dumps(request), len(texts))
        if self._answered and vectors.model != self._answered:
            _log.warning(
                "! embed: vectors now come from %s, and came from %s: only those of one model can"
                " be compared",
                vectors.model,
                self._answered,
            )
        self._answered = vectors.model
        return vectors.rows

    async def _from_any(self, body: bytes, count: int) -> Vectors:
        server = self._pool.pick()
        try:
            return await self._ask(server, body, count)
        except (aiohttp.ClientError, TimeoutError) as e:
            self._pool.failed(server, f"{type(e).__name__} while embedding")
        other = self._pool.pick(avoid=frozenset({server}))
        try:
            return await self._ask(other, body, count)
        except (aiohttp.ClientError, TimeoutError) as e:
            self._pool.failed(other, f"{type(e).__name__} while embedding")
            raise EngineError("embed", f"no vectors: {type(e).__name__}") from e

    async def _ask(self, server: Server, body: bytes, count: int) -> Vectors:
        url = f"{server.http_url}/v1/embeddings"
        with self._pool.use(server):
            answer = await post_json(
                self._http, url, body, server.json_headers, self._timeout_s, "embed"
            )
        return _vectors(answer, count)


def _vectors(answer: bytes, count: int) -> Vectors:
    try:
        said = orjson.loads(answer)
        rows = sorted(said["data"], key=lambda row: row["index"])
        vectors = [list(map(float, row["embedding"])) for row in rows]
        model = said.get("model", "")
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as e:
        raise aiohttp.ClientPayloadError("not an embeddings answer") from e
    if len(vectors) != count:
        raise aiohttp.ClientPayloadError(f"{len(vectors)} vectors for {count} texts")
    return Vectors(model if isinstance(model, str) else "", vectors)
