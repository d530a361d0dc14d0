"""``ivr embed``: text embeddings over HTTP in OpenAI's shape, for knowledge search."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import orjson
from aiohttp import web

from appliance.checkpoints.catalogue import load_catalogue
from appliance.checkpoints.manifest import folder_of
from appliance.errors import UserError
from appliance.models import http
from appliance.models.embed_queue import PASSAGES, QUESTIONS, Embed, EmbedQueue, Kind
from appliance.models.encoder_files import read_encoder
from appliance.models.encoder_session import compute_of
from appliance.models.engine import ModelOptions
from appliance.models.lane import Full
from appliance.models.minilm import LANGUAGE, MiniLm
from appliance.models.sentence_encoder import SentenceEncoder
from appliance.settings import Settings

MAX_TEXTS = 64
"""In one request."""
MAX_TEXT_CHARS = 8000
"""The model reads 256 or 512 tokens, some 2 000 characters; far more is a mistake."""
KINDS = {
    "query": "query",
    "passage": "passage",
    "search_query": "query",
    "search_document": "passage",
    "document": "passage",
    "": "",
}
"""``input_type`` as NVIDIA, Voyage and Cohere have it."""


class Model(Protocol):
    """What is served."""

    name: str

    def prompted(self, text: str, kind: Kind) -> str:
        """``text`` as the model was trained to read it."""

    @property
    def embed(self) -> Embed:
        """One unit-length vector a text; called from several threads."""


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


def kind_of(request: dict[str, Any], count: int) -> Kind:
    """What ``input_type`` says; where it is left out, a text alone is a question. Raises Refused."""
    given = http.text_field(request, "input_type", "")
    if given not in KINDS:
        raise http.Refused(400, "Field input_type must be query or passage.")
    return cast(Kind, KINDS[given] or ("query" if count == 1 else "passage"))


class EmbedServer:
    """The routes of the embedding server."""

    def __init__(
        self, model: Model, engine: str, languages: tuple[str, ...], capacity: int = 0
    ) -> None:
        self._model = model
        self._queue = EmbedQueue(model.embed)
        capacity = capacity or QUESTIONS.waiting + PASSAGES.waiting
        self._load = http.Load("embed", engine, languages, capacity, model=model.name)

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
        said = await http.json_object(request)
        texts = texts_of(said)
        kind = kind_of(said, len(texts))
        prompted = [self._model.prompted(text, kind) for text in texts]
        self._load.in_flight += 1
        try:
            vectors = await self._queue.embed(prompted, kind)
        except Full as e:
            raise http.Refused(429, "Too many texts are waiting; try again in a second.") from e
        finally:
            self._load.in_flight -= 1
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ]
        answer = {"object": "list", "model": self._model.name, "data": data}
        raw = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)  # half as long as of doubles
        return web.Response(body=raw, content_type="application/json")


def load_model(
    settings: Settings, engine: str, options: ModelOptions
) -> tuple[Model, tuple[str, ...]]:
    """The model of an engine, and the languages that it understands. Raises UserError."""
    compute = compute_of(options)
    cache: Path = settings.cache_dir
    if engine == "minilm":
        if options.model:
            raise UserError(f"minilm is one model. To load {options.model}: --engine onnx.")
        return MiniLm(cache, compute=compute), (LANGUAGE,)
    if not options.model:
        raise UserError("The engine onnx needs a model. Choose one: ivr models list")
    folder = folder_of(settings, options.model)
    encoder = read_encoder(folder)
    entry = load_catalogue(settings).get(encoder.name)
    languages = options.languages or (entry.languages if entry else ("*",))
    return SentenceEncoder(encoder, cache, compute=compute), languages


def run(settings: Settings, engine: str, host: str, port: int, options: ModelOptions) -> None:
    """Load the model, then serve until SIGTERM.

    Raises UserError: the model is not installed, or the address cannot be had.
    """

    async def application() -> web.Application:
        model, languages = await asyncio.to_thread(load_model, settings, engine, options)
        return EmbedServer(model, engine, languages, options.capacity).application()

    http.run(application, host, port, partial(http.access_of, settings, settings.engines.embed))
