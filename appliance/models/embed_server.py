"""``ivr embed``: text embeddings over HTTP in OpenAI's shape, for knowledge search."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from aiohttp import web

from appliance.models import http
from appliance.models.embed_queue import MAX_WAITING_TEXTS, Embed, EmbedQueue, Full
from appliance.models.minilm import MiniLm
from appliance.settings import Settings

ENGINE = "minilm"
LANGUAGES = ("*",)
"""It takes any text, and understands English; other languages are found by their words."""
MAX_TEXTS = 64
"""In one request."""
MAX_TEXT_CHARS = 8000
"""The model reads 256 tokens, some 1 200 characters; far more is a mistake."""


def texts_of(request: dict[str, Any]) -> list[str]:
    """The ``input`` of a request: one text or a list of them. Raises Refused (400)."""
    given = request.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise http.Refused(400, "Field input must be a text or a list of texts.")
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise http.Refused(400, f"Field input must hold 1 to {MAX_TEXTS} texts.")
    if any(len(text) > MAX_TEXT_CHARS for text in texts):
        raise http.Refused(400, f"A text of input is longer than {MAX_TEXT_CHARS} characters.")
    return texts


class EmbedServer:
    """The routes of the embedding server."""

    def __init__(self, embed: Embed, name: str = ENGINE) -> None:
        """``name``: of the model with its revision, as every answer tells it."""
        self._name = name
        self._queue = EmbedQueue(embed)
        self._load = http.Load("embed", ENGINE, LANGUAGES, MAX_WAITING_TEXTS)

    def application(self) -> web.Application:
        """The application; its queue runs for as long as it does."""
        app = http.application(self._load)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.cleanup_ctx.append(self._running)
        return app

    async def _running(self, app: web.Application) -> AsyncIterator[None]:
        queue = asyncio.create_task(self._queue.run())
        yield  # the requests under way have ended when it goes on
        queue.cancel()
        await asyncio.wait({queue})

    async def _embeddings(self, request: web.Request) -> web.Response:
        texts = texts_of(await http.json_object(request))
        self._load.in_flight += 1
        try:
            vectors = await self._queue.embed(texts)
        except Full as e:
            raise http.Refused(429, "Too many texts are waiting; try again in a second.") from e
        finally:
            self._load.in_flight -= 1
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ]
        answer = {"object": "list", "model": self._name, "data": data}
        raw = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)  # half as long as of doubles
        return web.Response(body=raw, content_type="application/json")


def run(settings: Settings, host: str, port: int) -> None:
    """Load the model, then serve until SIGTERM.

    Raises UserError: the model is not installed, or the address cannot be had.
    """

    async def application() -> web.Application:
        model = await asyncio.to_thread(MiniLm, settings.cache_dir)
        return EmbedServer(model.embed, model.name).application()

    http.run(application, host, port)
