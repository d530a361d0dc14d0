"""The answers to what callers ask often, made in advance for one version of agent and knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import and_, delete, not_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.events import Agent, Passage, ReplySource
from appliance.store.database import Also, nothing_else
from appliance.store.knowledge_models import CachedAnswerRow
from appliance.store.models import TurnRow
from appliance.store.tenancy import of_visible_agent
from appliance.turn.words import holds, normal, same_meaning

MOST_ANSWERS = 64
"""Of one agent in a worker's memory, each with its audio; those asked most."""
_PASSAGES = TypeAdapter(tuple[Passage, ...])


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """What a question of this wording is answered with, by one version of agent and knowledge."""

    wording: str
    """As :func:`wording_of` folds it."""
    question: str
    """As it was asked when the answer was made."""
    answer: str
    source: ReplySource
    """Who made it: ``llm`` or ``extractive``."""
    passages: tuple[Passage, ...]
    """What it rests on."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A cached answer as a person looks at it."""

    agent_id: str
    agent_version: int
    knowledge_version: int
    cached: CachedAnswer
    calls: int
    """In how many calls the question was asked, when the answer was made."""
    withdrawn: bool
    """Not used: it was found unfit, or a person said that it is wrong."""
    made_at: datetime


def wording_of(question: str) -> str:
    """The key of a question: its words folded, without punctuation and fillers."""
    return " ".join(normal(question))


async def load_answers(engine: AsyncEngine, agent: Agent) -> list[CachedAnswer]:
    """The answers in force for this version of agent and knowledge, those asked most first.

    Raises SQLAlchemyError or OSError when Postgres is away.
    """
    kept = await list_answers(engine, agent.id)
    return [
        one.cached
        for one in kept
        if not one.withdrawn
        and (one.agent_version, one.knowledge_version) == (agent.version, agent.knowledge_version)
    ][:MOST_ANSWERS]


async def list_answers(
    engine: AsyncEngine, agent_id: str = "", tenant: str | None = None
) -> list[KeptAnswer]:
    """Every row, of one agent or (empty) of all of ``tenant``, those asked most first."""
    row = CachedAnswerRow
    query = select(row).order_by(row.agent_id, row.calls.desc(), row.wording)
    query = query.where(of_visible_agent(row.agent_id, tenant))
    if agent_id:
        query = query.where(row.agent_id == agent_id)
    async with engine.connect() as connection:
        found = (await connection.execute(query)).mappings().all()
    return [
        KeptAnswer(
            agent_id=one["agent_id"],
            agent_version=one["agent_version"],
            knowledge_version=one["knowledge_version"],
            cached=CachedAnswer(
                one["wording"],
                one["question"],
                one["answer"],
                one["source"],
                _PASSAGES.validate_python(one["passages"]),
            ),
            calls=one["calls"],
            withdrawn=one["withdrawn"],
            made_at=one["made_at"],
        )
        for one in found
    ]


async def keep_answer(
    engine: AsyncEngine, agent: Agent, cached: CachedAnswer, calls: int, *, fit: bool
) -> bool:
    """Store an answer for this version of ``agent``; an unfit one is kept too, withdrawn, so that its
    question is not asked again and again. False when there is a row of that wording already."""
    values = {
        "agent_id": agent.id,
        "agent_version": agent.version,
        "knowledge_version": agent.knowledge_version,
        "wording": cached.wording,
        "question": cached.question,
        "answer": cached.answer,
        "source": cached.source,
        "passages": [asdict(passage) for passage in cached.passages],
        "calls": calls,
        "withdrawn": not fit,
    }
    statement = insert(CachedAnswerRow).values(values).on_conflict_do_nothing()
    async with engine.begin() as connection:
        stored = await connection.execute(statement.returning(CachedAnswerRow.wording))
        return stored.one_or_none() is not None


async def drop_other_versions(engine: AsyncEngine, agent: Agent) -> int:
    """Delete the answers of this agent's other versions, or of its knowledge's; returns how many."""
    row = CachedAnswerRow
    current = and_(
        row.agent_version == agent.version, row.knowledge_version == agent.knowledge_version
    )
    statement = delete(row).where(row.agent_id == agent.id, not_(current))
    async with engine.begin() as connection:
        return (await connection.execute(statement)).rowcount


async def forget_answers(engine: AsyncEngine, agent_id: str) -> int:
    """Delete every answer of an agent; returns how many."""
    statement = delete(CachedAnswerRow).where(CachedAnswerRow.agent_id == agent_id)
    async with engine.begin() as connection:
        return (await connection.execute(statement)).rowcount


async def forget_questions_of(engine: AsyncEngine, call_ids: Sequence[str]) -> int:
    """Delete the answers to what was asked in these calls, while their turns are still there; returns
    how many. What others ask as well is found and answered again."""
    turns = select(TurnRow.said).where(TurnRow.call_id.in_(list(call_ids)), TurnRow.said != "")
    async with engine.begin() as connection:
        wordings = {wording_of(said) for said in await connection.scalars(turns)}
        statement = delete(CachedAnswerRow).where(CachedAnswerRow.wording.in_(sorted(wordings)))
        return (await connection.execute(statement)).rowcount


async def withdraw(
    engine: AsyncEngine, agent_id: str, wordings: Sequence[str], also: Also = nothing_else
) -> int:
    """Have these questions (as :func:`wording_of` folds them) no longer answered from the cache;
    returns in how many rows that was a change."""
    row = CachedAnswerRow
    statement = (
        update(row)
        .where(row.agent_id == agent_id, row.wording.in_(list(wordings)), ~row.withdrawn)
        .values(withdrawn=True)
    )
    async with engine.begin() as connection:
        changed = (await connection.execute(statement)).rowcount
        if changed:
            await also(connection)
        return changed


async def withdraw_text(engine: AsyncEngine, agent_id: str, phrase: str, answer: str) -> int:
    """Withdraw the answers of an agent that are ``answer``, or hold ``phrase`` word for word."""
    kept = [one for one in await list_answers(engine, agent_id) if not one.withdrawn]
    wrong = [
        one.cached.wording
        for one in kept
        if same_meaning(one.cached.answer, answer) or holds(one.cached.answer, phrase)
    ]
    return await withdraw(engine, agent_id, wrong) if wrong else 0
