"""``ivr embed``: text embeddings over HTTP in OpenAI's shape, for knowledge search."""

from __future__ import annotations

import asyncio
import logging
from signal import SIGINT, SIGTERM
from typing import Any

import orjson
import uvloop
from aiohttp import web

from appliance.errors import ProtocolError, UserError
from appliance.models.embed_queue import MAX_WAITING_TEXTS, EmbedQueue, Full
from appliance.models.minilm import MiniLm
from appliance.settings import Settings

ENGINE = "minilm"
LANGUAGES = ("*",)
"""It takes any text, and understands English; other languages are found by their words."""
MAX_BODY_BYTES = 1_000_000
MAX_TEXTS = 64
"""In one request."""
MAX_TEXT_CHARS = 8000
"""The model reads 256 tokens, some 1 200 characters; far more is a mistake."""
FINISH_S = 5.0
"""Given to requests under way when the server is told to stop."""

_log = logging.getLogger(__name__)


def texts_of(body: bytes) -> list[str]:
    """The ``input`` of a request: one text or a list of them. Raises ProtocolError."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise ProtocolError("The body is not JSON.") from e
    given: Any = request.get("input") if isinstance(request, dict) else None
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ProtocolError("Field input must be a text or a list of texts.")
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise ProtocolError(f"Field input must hold 1 to {MAX_TEXTS} texts.")
    if any(len(text) > MAX_TEXT_CHARS for text in texts):
        raise ProtocolError(f"A text of field input is longer than {MAX_TEXT_CHARS} characters.")
    return texts


class EmbedServer:
    """The HTTP side: health from the first moment, vectors once the model is loaded."""

    def __init__(self) -> None:
        self._queue: EmbedQueue | None = None
        self._in_flight = 0

    async def serve(self, model: MiniLm) -> None:
        """Take requests with ``model`` until cancelled."""
        self._queue = EmbedQueue(model.embed)
        await self._queue.run()

    def application(self) -> web.Application:
        """The routes, for a runner."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_get("/health", self._health)
        application.router.add_post("/v1/embeddings", self._embeddings)
        return application

    async def _health(self, request: web.Request) -> web.Response:
        body = {
            "status": "ok" if self._queue else "loading",
            "stage": "embed",
            "engine": ENGINE,
            "languages": LANGUAGES,
            "in_flight": self._in_flight,
            "capacity": MAX_WAITING_TEXTS,
        }
        return _json(body, 200 if self._queue else 503)

    async def _embeddings(self, request: web.Request) -> web.Response:
        if self._queue is None:
            return _refusal(503, "The embedding model is still loading.")
        try:
            texts = texts_of(await request.read())
        except ProtocolError as e:
            return _refusal(400, str(e))
        except web.HTTPRequestEntityTooLarge:
            return _refusal(413, f"The body is longer than {MAX_BODY_BYTES} bytes.")
        self._in_flight += 1
        try:
            vectors = await self._queue.embed(texts)
        except Full:
            return _refusal(429, "Too many texts are waiting; try again in a second.")
        finally:
            self._in_flight -= 1
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ]
        return _json({"object": "list", "model": ENGINE, "data": data}, 200)


def _json(body: object, status: int) -> web.Response:
    raw = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return web.Response(body=raw, status=status, content_type="application/json")


def _refusal(status: int, message: str) -> web.Response:
    kind = "invalid_request_error" if status < 429 else "server_error"
    return _json({"error": {"message": message, "type": kind}}, status)


async def _run(settings: Settings, host: str, port: int) -> None:
    stop = asyncio.Event()
    for signal in (SIGTERM, SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal, stop.set)
    server = EmbedServer()
    runner = web.AppRunner(server.application(), shutdown_timeout=FINISH_S, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        model = await asyncio.to_thread(MiniLm, settings.cache_dir)
        serving = asyncio.create_task(server.serve(model))
        _log.info("= embed: %s on %s:%d", ENGINE, host, port)
        await stop.wait()
    finally:
        await runner.cleanup()  # stops accepting, then waits for the requests under way
    serving.cancel()
    _log.info("= embed: stopped")


def run(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM, then finish what is under way and return.

    Raises UserError: the model is not installed, or the address cannot be had.
    """
    try:
        uvloop.run(_run(settings, host, port))
    except OSError as e:
        raise UserError(f"Cannot serve on {host}:{port}: {e.strerror or e}.") from e
