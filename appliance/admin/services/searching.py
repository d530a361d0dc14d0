"""What an agent would find for a question, and why: the search of a call, explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.theirs import agent_of, base_of
from appliance.engines.clients import Clients
from appliance.errors import UserError
from appliance.events import Agent, Passage
from appliance.knowledge.answers import extract
from appliance.knowledge.reading.language import language_of
from appliance.knowledge.rewriting import rewrite
from appliance.knowledge.scope import scope_of
from appliance.knowledge.scoring import ANSWER_FLOOR, CONTEXT_FLOOR
from appliance.knowledge.search import LIMIT, LONGEST_QUESTION_CHARS, Result, Search, Source
from appliance.store.base_views import BaseKey
from appliance.store.finding import Found
from appliance.store.passages import Scope

DEADLINE_MS = 2000
"""At the keyboard the whole search is worth waiting for."""
PATIENCE_MS = 1000
"""For one server."""
SHOWN = 12
"""Passages that are told of: those an agent reads, and the next ones."""
MOST_EARLIER = 6
LONGEST_HEARD_LETTERS = 1000

Standing = Literal["answers", "read", "unsure", "behind", "left out"]


@dataclass(frozen=True, slots=True)
class Earlier:
    """A turn before the question."""

    said: str
    heard: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage, and how it was found."""

    passage: Passage
    language: str
    tags: tuple[str, ...]
    distance: float | None
    """Cosine distance of question and passage, 0 to 2; None: found by words alone."""
    dense_rank: int | None
    """From 1, of the 20 nearest; None: not among them."""
    sparse_rank: int | None
    """From 1, of the 20 best by their words."""
    fused: float | None
    """Reciprocal ranks, summed; None: found in memory."""
    standing: Standing
    """``answers``: over the answer's floor. ``read``: a language model sees it. ``unsure``: below both
    floors. ``behind``: an agent reads the first four. ``left out``: by the agent's tags, languages."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A search as an agent would make it."""

    question: str
    """As asked."""
    searched: str
    """As searched: a follow-up made whole by the turns before it."""
    base: str
    version: int
    agent_id: str
    tags: tuple[str, ...]
    languages: tuple[str, ...]
    """What the agent's searches are limited to; empty: nothing."""
    source: Source
    """``hybrid``, ``words`` (no embedder), ``memory`` (Postgres late) or ``none``."""
    reranked: bool
    hits: tuple[Hit, ...]
    answer: str
    """What would be said without a language model; empty: nothing is sure enough."""
    answer_floor: float
    context_floor: float
    embed_ms: float
    total_ms: float
    note: str
    """What the embedding model is no good at, of this question."""


async def search(
    console: Console,
    actor: Actor,
    base_id: int,
    question: str,
    *,
    agent_id: str = "",
    earlier: Sequence[Earlier] = (),
) -> Explained:
    """Search a base as the agent would (empty: without any agent's filters).

    Raises NotFoundError; UserError: no question, an agent that does not answer from this base, a base
    with no version yet.
    """
    actor.require(Permission.KNOWLEDGE_READ)
    base = await base_of(console, actor, base_id)
    agent = await _agent(console, actor, base, agent_id)
    question = question.strip()
    if not question:
        raise UserError("Write a question.")
    if len(question) > LONGEST_QUESTION_CHARS:
        raise UserError(f"A question has at most {LONGEST_QUESTION_CHARS} letters.")
    if not base.version:
        raise UserError(
            "Nothing of this knowledge base is in force yet: add a document, or wait until it is read."
        )
    language = agent.language if agent else language_of(question)
    before = [(one.said, one.heard[:LONGEST_HEARD_LETTERS]) for one in earlier[-MOST_EARLIER:]]
    searched = rewrite(question, before, language)
    scope = scope_of(agent) if agent else Scope(base.name, base.version)
    found, everywhere, note = await _both(console, scope, searched)
    return Explained(
        question=question,
        searched=searched,
        base=base.name,
        version=scope.version,
        agent_id=agent_id,
        tags=scope.tags,
        languages=scope.languages,
        source=found.source,
        reranked=found.reranked,
        hits=_hits(found, everywhere),
        answer=extract(searched, _read(found)) or "",
        answer_floor=ANSWER_FLOOR,
        context_floor=CONTEXT_FLOOR,
        embed_ms=found.embed_ms,
        total_ms=found.total_ms,
        note=note,
    )


async def _agent(console: Console, actor: Actor, base: BaseKey, agent_id: str) -> Agent | None:
    if not agent_id:
        return None
    agent, _ = await agent_of(console, actor, agent_id)
    if agent.knowledge != base.name:
        raise UserError("This agent does not answer from this knowledge base.")
    return agent


async def _both(console: Console, scope: Scope, text: str) -> tuple[Result, Result | None, str]:
    """The search within ``scope``; the one without its filters, if it has some; the model's note."""
    clients = Clients(console.settings, console.http, PATIENCE_MS)
    copies = console.settings.cache_dir / "knowledge"
    searching = Search(console.engine, clients.embedder, copies, clients.reranker)
    await clients.find_servers()
    try:
        await searching.preload(scope.knowledge, scope.version)
        # the first search of a process opens its connections; what a call meets is the second
        await searching.explain(scope, text, DEADLINE_MS)
        found = await searching.explain(scope, text, DEADLINE_MS, most=SHOWN)
        everywhere = None
        if scope.tags or scope.languages:
            whole = Scope(scope.knowledge, scope.version)
            everywhere = await searching.explain(whole, text, DEADLINE_MS, most=SHOWN)
        return found, everywhere, clients.embedder.note_on(language_of(text)) or ""
    finally:
        await searching.close()


def _read(result: Result) -> list[Passage]:
    """What an agent reads of it, best first."""
    if not result.found:
        return result.passages[:LIMIT]
    first = [one for one in result.scored[:LIMIT] if one.score >= CONTEXT_FLOOR]
    return first if result.reranked else sorted(first, key=lambda one: -one.score)


def _hits(result: Result, everywhere: Result | None) -> tuple[Hit, ...]:
    """Those an agent reads first, in their order; then the others as they were found."""
    if not result.found:  # from memory: no ranks
        hits = [_remembered(one, place) for place, one in enumerate(result.passages)]
    else:
        pairs = list(zip(result.found, result.scored, strict=True))
        read = {one.id: place for place, one in enumerate(_read(result))}
        hits = [
            _hit(found, scored, _standing(scored, place))
            for place, (found, scored) in enumerate(pairs)
        ]
        hits.sort(key=lambda hit: read.get(hit.passage.id, len(read)))
    known = {hit.passage.id for hit in hits}
    if everywhere is not None:
        outside = zip(everywhere.found, everywhere.scored, strict=True)
        hits += [
            _hit(found, scored, "left out")
            for found, scored in outside
            if scored.id not in known and scored.score >= CONTEXT_FLOOR
        ][:LIMIT]
    return tuple(hits)


def _standing(passage: Passage, place: int) -> Standing:
    if place >= LIMIT:
        return "behind"
    if passage.score >= ANSWER_FLOOR:
        return "answers"
    return "read" if passage.score >= CONTEXT_FLOOR else "unsure"


def _hit(found: Found, scored: Passage, standing: Standing) -> Hit:
    return Hit(
        passage=scored,
        language=found.passage.language,
        tags=found.passage.tags,
        distance=None if found.similarity is None else 1 - found.similarity,
        dense_rank=found.dense_rank,
        sparse_rank=found.sparse_rank,
        fused=found.fused,
        standing=standing,
    )


def _remembered(passage: Passage, place: int) -> Hit:
    return Hit(passage, "", (), None, None, None, None, _standing(passage, place))
