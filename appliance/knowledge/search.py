"""Hybrid search by a deadline: meaning and words, fused in one round trip to Postgres.

A call never waits longer than its deadline and never fails here: with the embedder late or dead it
gets what the words find, with Postgres away what the worker holds in memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, Literal

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.base import Embedder
from appliance.errors import EngineError, reason_of
from appliance.events import Agent, Passage
from appliance.knowledge.copies import read_copy, write_copy
from appliance.knowledge.memory import Memory, best_first
from appliance.knowledge.scope import scope_of
from appliance.knowledge.words import content_words
from appliance.seldom import Seldom
from appliance.store.passages import Found, Scope, connect, find, read

LIMIT = 4
"""Passages of a search: some 200 words for a language model to read."""
LONGEST_QUESTION_CHARS = 500
SQL_RESERVE_MS = 25
"""Kept of the deadline for Postgres (p95 3 ms on loopback), whatever the embedder does."""
MOST_UNDER_WAY = 32
"""Searches given to Postgres at once; more of them go to memory, for it must be stuck."""
STUCK_S = 5.0
"""A statement abandoned by its search may go on this long."""
PRELOAD_TIMEOUT_S = 10.0
MOST_VERSIONS = 64
"""Versions kept in memory; the one longest unused goes first."""

Source = Literal["hybrid", "words", "memory", "none"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found and how: ``found`` has the ranks, empty when it came from memory."""

    passages: list[Passage]
    found: list[Found]
    source: Source
    embed_ms: float
    total_ms: float


class Search:
    """Searches of one worker. Call :meth:`preload` for every version that a running agent uses."""

    def __init__(self, engine: AsyncEngine, embedder: Embedder, copies: Path | None = None) -> None:
        """``copies``: folder for a copy on disk of each version preloaded, so that a worker which
        starts while Postgres is away still answers."""
        self._engine = engine
        self._copies = copies
        self._embedder = embedder
        self._memory: dict[tuple[str, int], Memory] = {}
        self._under_way: set[asyncio.Task[tuple[list[Found], float]]] = set()
        self._seldom = Seldom(monotonic)
        """A server that is away fails every search of every turn: one line in a while says so."""

    async def preload(self, knowledge: str, version: int) -> bool:
        """Hold a version's texts in memory; again is a no-op, for a version never changes.

        With Postgres away they come from the copy on disk. False when they could not be had.
        """
        if (knowledge, version) in self._memory or not knowledge:
            return True
        try:
            async with asyncio.timeout(PRELOAD_TIMEOUT_S):
                passages = await read(self._engine, knowledge, version)
        except (SQLAlchemyError, OSError, TimeoutError) as e:
            held = self._hold(
                knowledge, version, await asyncio.to_thread(self._copy, knowledge, version)
            )
            how = "from its copy on disk" if held else "not to be had"
            _log.warning("! Postgres is away: knowledge %s %d %s: %s", knowledge, version, how, e)
            return held
        # In a thread: 10 000 passages take 0.5 s, during which no call's frame would be sent.
        self._hold(knowledge, version, await asyncio.to_thread(Memory, passages))
        if self._copies and passages:
            await asyncio.to_thread(write_copy, self._copies, knowledge, version, passages)
        return True

    def recall(self, knowledge: str, version: int) -> bool:
        """Hold a version's texts from the copy on disk; False when there is none."""
        return self._hold(knowledge, version, self._copy(knowledge, version))

    def _copy(self, knowledge: str, version: int) -> Memory | None:
        passages = read_copy(self._copies, knowledge, version) if self._copies else []
        return Memory(passages) if passages else None

    def _hold(self, knowledge: str, version: int, memory: Memory | None) -> bool:
        if memory is None:
            return False
        while len(self._memory) >= MOST_VERSIONS:
            del self._memory[next(iter(self._memory))]
        self._memory[knowledge, version] = memory
        return True

    def texts(self, knowledge: str, version: int) -> list[str]:
        """Headings and texts of a preloaded version, for the recogniser; empty when it is not."""
        memory = self._remember(knowledge, version)
        return memory.texts() if memory else []

    async def search(self, agent: Agent, text: str, deadline_ms: float) -> list[Passage]:
        """The passages that may answer ``text``, best first; their score is 0 to 1, see
        :mod:`appliance.knowledge.scoring`. Returns within the deadline; never raises."""
        return (await self.explain(scope_of(agent), text, deadline_ms)).passages

    async def explain(self, scope: Scope, text: str, deadline_ms: float) -> Result:
        """As :meth:`search`, with how each passage was found and how long it took."""
        begin = perf_counter()
        question = text[:LONGEST_QUESTION_CHARS].strip()
        if not scope.knowledge or not question:
            return Result([], [], "none", 0.0, 0.0)
        memory = self._remember(scope.knowledge, scope.version)
        answer = await self._in_time(self._ask(scope, question, deadline_ms), deadline_ms)
        embed_ms = answer[1] if answer else 0.0
        found = answer[0] if answer else []
        if answer is not None:
            scored = memory or Memory([hit.passage for hit in found])
            passages = [scored.passage(question, hit.passage, hit.similarity) for hit in found]
            hybrid = any(hit.dense_rank for hit in found)
            source: Source = "hybrid" if hybrid else "words"
        else:
            passages = memory.search(question, LIMIT) if memory else []
            source = "memory" if memory else "none"
        total_ms = (perf_counter() - begin) * 1000
        return Result(best_first(passages), found, source, embed_ms, total_ms)

    async def close(self) -> None:
        """Give up what is still under way."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STUCK_S)

    def _remember(self, knowledge: str, version: int) -> Memory | None:
        memory = self._memory.pop((knowledge, version), None)
        if memory:
            self._memory[knowledge, version] = memory  # now the one used last
        return memory

    async def _in_time(
        self, work: Coroutine[Any, Any, tuple[list[Found], float]], deadline_ms: float
    ) -> tuple[list[Found], float] | None:
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

    def _ended(self, task: asyncio.Task[tuple[list[Found], float]]) -> None:
        self._under_way.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, SQLAlchemyError | OSError | TimeoutError):
            self._seldom.warn(_log, "postgres", "! search: Postgres: %s", reason_of(error))
        elif error:
            _log.error("! search failed", exc_info=error)

    async def _ask(
        self, scope: Scope, question: str, deadline_ms: float
    ) -> tuple[list[Found], float]:
        budget_ms = max(deadline_ms - SQL_RESERVE_MS, deadline_ms / 2)
        # the connection is taken and tested while the question is embedded
        embedding = asyncio.create_task(self._embed(question, budget_ms))
        try:
            async with asyncio.timeout(STUCK_S):
                connection = await connect(self._engine)
                try:
                    vector, embed_ms = await embedding
                    terms = content_words(question)
                    found = await find(connection, scope, terms, vector, LIMIT)
                finally:
                    await connection.close()
        finally:
            embedding.cancel()
        return found, embed_ms

    async def _embed(self, question: str, budget_ms: float) -> tuple[list[float] | None, float]:
        begin = perf_counter()
        vector = None
        try:
            async with asyncio.timeout(budget_ms / 1000):
                (vector,) = await self._embedder.embed([question])
        except (EngineError, TimeoutError) as e:
            why = str(e) or f"no vector in {budget_ms:.0f} ms"
            self._seldom.warn(_log, "words", "! search by words alone: %s", why)
        return vector, (perf_counter() - begin) * 1000
