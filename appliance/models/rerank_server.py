"""``ivr rerank``: a cross-encoder over HTTP in the shape of Jina, Cohere and vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Protocol

from aiohttp import web

from appliance.checkpoints.catalogue import load_catalogue
from appliance.checkpoints.manifest import folder_of
from appliance.errors import UserError
from appliance.models import http
from appliance.models.cross_encoder import CrossEncoder
from appliance.models.encoder_files import read_encoder
from appliance.models.encoder_session import compute_of
from appliance.models.engine import ModelOptions
from appliance.models.lane import Bounds, Compute, Full, Lane
from appliance.settings import Settings

MAX_TEXTS = 64
"""In one request."""
MAX_TEXT_CHARS = 8000
BOUNDS = Bounds(run_items=8, run_chars=4000, waiting=256)
"""8 passages of 500 characters in a run."""
CAPACITY = 8
"""Requests at once: of 20 passages each, more than a core does while a caller waits."""

Pair = tuple[str, str]


class Model(Protocol):
    """What is served."""

    name: str

    @property
    def scores(self) -> Compute[Pair]:
        """One score, 0 to 1, for each (question, text)."""


def pairs_of(request: dict[str, Any]) -> list[Pair]:
    """The question with each of the documents (texts, or objects with a ``text``). Raises Refused."""
    query = http.text_field(request, "query")
    documents = request.get("documents")
    if not isinstance(documents, list) or not 1 <= len(documents) <= MAX_TEXTS:
        raise http.Refused(400, f"Field documents must be a list of 1 to {MAX_TEXTS} texts.")
    texts = [text for each in documents if isinstance(text := _text(each), str)]
    if len(texts) < len(documents):
        raise http.Refused(400, "Each of documents must be a text, or an object with a text.")
    if any(len(text) > MAX_TEXT_CHARS for text in (query, *texts)):
        raise http.Refused(400, f"A text is longer than {MAX_TEXT_CHARS} characters.")
    return [(query, text) for text in texts]


def _text(document: Any) -> Any:
    return document.get("text") if isinstance(document, dict) else document


def answer_of(request: dict[str, Any], pairs: list[Pair], scores: list[Any]) -> dict[str, Any]:
    """The ``results``, best first, at most ``top_n`` of them. Raises Refused (400)."""
    top = request.get("top_n")
    top = len(pairs) if top is None else top
    if not isinstance(top, int) or top < 1:
        raise http.Refused(400, "Field top_n must be a whole number from 1.")
    order = sorted(range(len(pairs)), key=lambda index: -float(scores[index]))[:top]
    told = bool(request.get("return_documents"))
    return {
        "results": [
            {"index": index, "relevance_score": float(scores[index])}
            | ({"document": {"text": pairs[index][1]}} if told else {})
            for index in order
        ]
    }


class RerankServer:
    """The routes of the reranking server."""

    def __init__(self, model: Model, languages: tuple[str, ...], capacity: int = 0) -> None:
        self._model = model
        self._lane: Lane[Pair] = Lane(model.scores, lambda pair: len(pair[1]), BOUNDS)
        self._load = http.Load("rerank", "onnx", languages, capacity or CAPACITY, model=model.name)

    def application(self) -> web.Application:
        """The application; its queue runs for as long as it does."""
        app = http.application(self._load)
        for path in ("/rerank", "/v1/rerank"):
            app.router.add_post(path, self._rerank)
        app.cleanup_ctx.append(self._running)
        return app

    async def _running(self, app: web.Application) -> AsyncIterator[None]:
        lane = asyncio.create_task(self._lane.run())
        yield
        lane.cancel()
        await asyncio.wait({lane})

    async def _rerank(self, request: web.Request) -> web.Response:
        said = await http.json_object(request)
        pairs = pairs_of(said)
        answer_of(said, pairs, [0.0] * len(pairs))  # a wrong top_n is told before the work
        self._load.in_flight += 1
        try:
            scores = await self._lane.submit(pairs)
        except Full as e:
            raise http.Refused(429, "Too many texts are waiting; try again in a second.") from e
        finally:
            self._load.in_flight -= 1
        return http.reply({"model": self._model.name} | answer_of(said, pairs, scores))


def load_model(settings: Settings, options: ModelOptions) -> tuple[CrossEncoder, tuple[str, ...]]:
    """The cross-encoder and its languages. Raises UserError."""
    if not options.model:
        raise UserError("A reranker needs a model. Choose one: ivr models list")
    encoder = read_encoder(folder_of(settings, options.model), is_cross=True)
    entry = load_catalogue(settings).get(encoder.name)
    languages = options.languages or (entry.languages if entry else ("*",))
    return CrossEncoder(encoder, settings.cache_dir, compute=compute_of(options)), languages


def run(settings: Settings, host: str, port: int, options: ModelOptions) -> None:
    """Load the model, then serve until SIGTERM.

    Raises UserError: the model is not installed, or the address cannot be had.
    """

    async def application() -> web.Application:
        model, languages = await asyncio.to_thread(load_model, settings, options)
        return RerankServer(model, languages, options.capacity).application()

    http.run(application, host, port, partial(http.access_of, settings, settings.engines.rerank))
