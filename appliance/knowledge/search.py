"""Hybrid search by a deadline: meaning and words, fused in one round trip to Postgres.

A call never waits longer than its deadline and never fails here: with the embedder late or dead it
gets what the words find, with Postgres away what the worker holds in memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, Literal

import psycopg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.base import Embedder, Reranker
from appliance.errors import EngineError, reason_of
from appliance.events import Agent, Passage
from appliance.knowledge.library import Library
from appliance.knowledge.memory import Memory, best_first
from appliance.knowledge.plans import Plans
from appliance.knowledge.questions import QuestionVectors
from appliance.knowledge.scope import scope_of
from appliance.knowledge.words import content_words
from appliance.seldom import Seldom
from appliance.store.finding import Found, Weights, find
from appliance.store.lanes import Driver, Lanes
from appliance.store.passages import Scope

LIMIT = 4
"""Passages of a search: some 200 words for a language model to read."""
RERANKED = 12
"""Passages that a reranker puts in order."""
LONGEST_QUESTION_CHARS = 500
SQL_RESERVE_MS = 25
"""Kept of the deadline for Postgres (p95 8 ms with 100 000 passages), whatever the embedder does."""
RERANK_RESERVE_MS = 3
"""Kept of the deadline when the reranker is waited for."""
MOST_UNDER_WAY = 32
"""Searches given to Postgres at once; more of them go to memory, for it must be stuck."""
STUCK_S = 5.0
"""A statement abandoned by its search may go on this long."""

Source = Literal["hybrid", "words", "memory", "none"]
Vector = Sequence[float]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found and how: ``found`` has the ranks, empty when it came from memory."""

    passages: list[Passage]
    found: list[Found]
    source: Source
    embed_ms: float
    total_ms: float
    reranked: bool = False
    scored: tuple[Passage, ...] = ()
    """``found`` with their scores, in its order, also those that are below the floor."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What Postgres found; ``model``: whose cosines it has."""

    found: list[Found]
    model: str
    embed_ms: float
    reranked: bool = False


@dataclass(frozen=True, slots=True)
class _Question:
    """One search under way."""

    scope: Scope
    text: str
    vector: Vector | None
    ends: float
    """When its deadline is, by the event loop's clock."""
    most: int
    """Passages that are wanted."""

    def left_ms(self) -> float:
        return (self.ends - asyncio.get_running_loop().time()) * 1000


class Search:
    """Searches of one worker. Call :meth:`preload` for every version that a running agent uses."""

    def __init__(
        self,
        engine: AsyncEngine,
        embedder: Embedder,
        copies: Path | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        """``copies``: folder for a copy on disk of each version preloaded, so that a worker which
        starts while Postgres is away still answers."""
        self._lanes = Lanes(engine.url)
        self._library = Library(engine, copies)
        self._plans = Plans()
        self._vectors = QuestionVectors(embedder)
        self._reranker = reranker
        self._under_way: set[asyncio.Task[_Answer]] = set()
        self._seldom = Seldom(monotonic)
        """A server that is away fails every search of every turn: one line in a while says so."""

    async def preload(self, knowledge: str, version: int) -> bool:
        """Hold a version's words and texts; again is a no-op, for a version never changes.

        With Postgres away they come from the copy on disk. False when they could not be had.
        """
        return not knowledge or await self._library.load(knowledge, version)

    def recall(self, knowledge: str, version: int) -> bool:
        """Hold a version's texts from the copy on disk; False when there is none."""
        return self._library.recall(knowledge, version)

    def texts(self, knowledge: str, version: int) -> list[str]:
        """Headings and texts of a preloaded version, for the recogniser, of a large one a part;
        empty when it is not preloaded."""
        memory = self._library.get(knowledge, version)
        return memory.texts() if memory else []

    async def search(
        self, agent: Agent, text: str, deadline_ms: float, vector: Vector | None = None
    ) -> list[Passage]:
        """The passages that may answer ``text``, best first; their score is 0 to 1, see
        :mod:`appliance.knowledge.scoring`. ``vector``: the question's, where it is known already.
        Returns within the deadline; never raises."""
        return (await self.explain(scope_of(agent), text, deadline_ms, vector)).passages

    async def explain(
        self,
        scope: Scope,
        text: str,
        deadline_ms: float,
        vector: Vector | None = None,
        *,
        most: int = LIMIT,
    ) -> Result:
        """As :meth:`search`, with how each passage was found and how long it took. ``most``: passages
        to be told of, more of which than :data:`LIMIT` no agent sees."""
        begin = perf_counter()
        said = text[:LONGEST_QUESTION_CHARS].strip()
        if not scope.knowledge or not said:
            return Result([], [], "none", 0.0, 0.0)
        memory = self._library.get(scope.knowledge, scope.version)
        ends = asyncio.get_running_loop().time() + deadline_ms / 1000
        answer = await self._in_time(
            self._ask(_Question(scope, said, vector, ends, most), memory), deadline_ms
        )
        if answer is None:
            scored: list[Passage] = []
            passages = memory.search(said, most, scope.tags, scope.languages) if memory else []
            source: Source = "memory" if memory else "none"
            answer = _Answer([], "", 0.0)
        else:
            scored = _scored(said, answer, memory)
            passages = best_first(scored, keep_order=answer.reranked)
            source = "hybrid" if any(hit.dense_rank for hit in answer.found) else "words"
        total_ms = (perf_counter() - begin) * 1000
        return Result(
            *(passages, answer.found, source, answer.embed_ms, total_ms, answer.reranked),
            tuple(scored),
        )

    async def close(self) -> None:
        """Give up what is still under way."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STUCK_S)
        await self._vectors.close()
        await self._lanes.close()

    async def _in_time(
        self, work: Coroutine[Any, Any, _Answer], deadline_ms: float
    ) -> _Answer | None:
        """The result of ``work``, or None when it is late or failed.

        A task of its own, not cancelled at the deadline: cancelling a statement waits for the
        server that is the very thing being late. Their number is bounded.
        """
        if len(self._under_way) >= MOST_UNDER_WAY:
            work.close()
            self._seldom.warn(
                _log, "stuck", "! search: %d searches are stuck, memory answers", MOST_UNDER_WAY
            )
            return None
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        done, _ = await asyncio.wait({task}, timeout=deadline_ms / 1000)
        if not done:
            self._seldom.warn(
                _log, "late", "! search: nothing from Postgres within %.0f ms", deadline_ms
            )
            return None
        if task.cancelled() or task.exception():
            return None
        return task.result()

    def _ended(self, task: asyncio.Task[_Answer]) -> None:
        self._under_way.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, psycopg.Error | SQLAlchemyError | OSError | TimeoutError):
            self._seldom.warn(_log, "postgres", "! search: Postgres: %s", reason_of(error))
        elif error:
            _log.error("! search failed", exc_info=error)

    async def _ask(self, question: _Question, memory: Memory | None) -> _Answer:
        begin = perf_counter()
        # a connection, where none is open yet, is made while the question is embedded
        connecting = asyncio.create_task(self._lanes.warm())
        try:
            vector = question.vector
            if vector is None:
                vector = await self._embed(question)
            embed_ms = (perf_counter() - begin) * 1000
            found = await self._find(question, vector, memory, connecting)
        finally:
            connecting.cancel()
        reranked = await self._rerank(question, found)
        return _Answer(
            (reranked or found)[: question.most],
            self._vectors.model,
            embed_ms,
            reranked is not None,
        )

    async def _find(
        self,
        question: _Question,
        vector: Vector | None,
        memory: Memory | None,
        connecting: asyncio.Task[None],
    ) -> list[Found]:
        words = content_words(question.text)
        weights = memory.weights(words) if memory else Weights()
        limit = max(RERANKED, question.most) if self._reranker else question.most

        async def work(connection: Driver) -> list[Found]:
            plan = await self._plans.of(connection, question.scope)
            if plan is None:
                return []
            near = vector if self._comparable(plan.embedder) else None
            return await find(connection, plan, question.scope, words, weights, near, limit)

        async with asyncio.timeout(STUCK_S):
            await connecting
            return await self._lanes.run(work)

    def _comparable(self, embedder: str) -> bool:
        """Whether the embedder's vectors can be compared with those that ``embedder`` made."""
        ours = self._vectors.model
        if not embedder or not ours or embedder == ours:
            return True
        self._seldom.warn(
            _log, "model", "! search by words alone: vectors are %s's, ours %s's", embedder, ours
        )
        return False

    async def _embed(self, question: _Question) -> Vector | None:
        left_ms = question.left_ms()
        budget_ms = max(left_ms - SQL_RESERVE_MS, left_ms / 2)
        try:
            async with asyncio.timeout(budget_ms / 1000):
                return await self._vectors.of(question.text)  # type: ignore[return-value]
        except (EngineError, TimeoutError) as e:
            why = str(e) or f"no vector in {budget_ms:.0f} ms"
            self._seldom.warn(_log, "words", "! search by words alone: %s", why)
        return None

    async def _rerank(self, question: _Question, found: Sequence[Found]) -> list[Found] | None:
        """``found`` as the reranker has it, best first; None without one, or when it is late."""
        left_ms = question.left_ms() - RERANK_RESERVE_MS
        if self._reranker is None or len(found) < 2 or left_ms <= 0:
            return None
        texts = [f"{hit.passage.heading}\n{hit.passage.text}".strip() for hit in found]
        try:
            async with asyncio.timeout(left_ms / 1000):
                scores = await self._reranker.rerank(question.text, texts)
        except (EngineError, TimeoutError) as e:
            self._seldom.warn(_log, "rerank", "! search: not reranked: %s", str(e) or "late")
            return None
        order = sorted(range(len(found)), key=lambda number: -scores[number])
        return [found[number] for number in order]


def _scored(question: str, answer: _Answer, memory: Memory | None) -> list[Passage]:
    """What was found, with scores, in its order."""
    weighing = memory or Memory([hit.passage for hit in answer.found])
    found = [(hit.passage, hit.similarity) for hit in answer.found]
    return weighing.scored(question, found, answer.model)
