"""Golden questions in Postgres: what every version of an agent must answer, and how it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import Select, delete, func, select, union_all, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.events import Passage, ReplySource
from appliance.store.database import Also, nothing_else
from appliance.store.models import AgentRow
from appliance.store.review_models import GoldenAnswerRow, GoldenQuestionRow
from appliance.store.tenancy import of_visible_agent
from appliance.turn.words import normal

Verdict = Literal["same", "changed", "wrong", "stopped", "failed"]
LONGEST_QUESTION_LETTERS = 500
"""As a search reads it."""
LONGEST_EXPECTED_LETTERS = 500
KEPT_ANSWERS = 30
"""Of each question, and the last one that the next is compared with, however old it is."""
MOST_QUESTIONS = 1000
"""Of one agent."""

_PASSAGES = TypeAdapter(tuple[Passage, ...])


@dataclass(frozen=True, slots=True)
class NewQuestion:
    """A golden question as a person gives it."""

    agent_id: str
    question: str
    expected: str = ""
    """Words that a right answer holds, alternatives parted by ``|``."""


@dataclass(frozen=True, slots=True)
class GoldenAnswer:
    """What a golden question was answered with, once."""

    at: datetime
    agent_version: int
    knowledge_version: int
    answer: str
    source: ReplySource
    passages: tuple[Passage, ...]
    verdict: Verdict
    similarity: float | None


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """A golden question, and how it was answered last."""

    id: int
    agent_id: str
    question: str
    expected: str
    enabled: bool
    created_by: str
    created_at: datetime
    asked_at: datetime | None
    """Last, with whatever outcome; None: never."""
    last: GoldenAnswer | None
    """The last answer that an agent gave: none whose servers were away."""


def checked(new: NewQuestion) -> NewQuestion:
    """``new`` without spaces around. Raises UserError: empty, or too long."""
    question, expected = new.question.strip(), new.expected.strip()
    if not normal(question):
        raise UserError("A golden question has words; this one has none.")
    if len(question) > LONGEST_QUESTION_LETTERS:
        raise UserError(f"A golden question has at most {LONGEST_QUESTION_LETTERS} letters.")
    if len(expected) > LONGEST_EXPECTED_LETTERS:
        raise UserError(f"What is expected has at most {LONGEST_EXPECTED_LETTERS} letters.")
    if expected and not all(normal(part) for part in expected.split("|")):
        raise UserError("Between two | of what is expected there are no words.")
    return NewQuestion(new.agent_id, question, expected)


async def add_questions(
    engine: AsyncEngine, new: Sequence[NewQuestion], by: str, also: Also = nothing_else
) -> tuple[list[int], int]:
    """Store golden questions, all or none. One that its agent has already (but for case and
    punctuation) is enabled, and gets what is expected from now on.

    Returns the ids in order, and how many are new. Raises UserError: unknown agent, too many.
    """
    ids, added = [], 0
    async with engine.begin() as connection:
        for one in map(checked, new):
            known = await _known(connection, one.agent_id)
            key = normal(one.question)
            if key in known:
                values = {"expected": one.expected, "enabled": True}
                row = GoldenQuestionRow
                await connection.execute(update(row).where(row.id == known[key]).values(values))
                ids.append(known[key])
                continue
            if len(known) >= MOST_QUESTIONS:
                raise UserError(
                    f"Agent {one.agent_id} has {MOST_QUESTIONS} golden questions already."
                )
            ids.append(await _insert(connection, one, by))
            added += 1
        await also(connection)
    return ids, added


async def edit_question(
    engine: AsyncEngine,
    question_id: int,
    *,
    expected: str,
    enabled: bool,
    also: Also = nothing_else,
) -> None:
    """Change what is expected, and whether it is asked. Raises UserError: no such question, or
    what is expected is too long."""
    row = GoldenQuestionRow
    tidied = checked(NewQuestion("", "any", expected)).expected
    statement = (
        update(row)
        .where(row.id == question_id)
        .values(expected=tidied, enabled=enabled)
        .returning(row.id)
    )
    async with engine.begin() as connection:
        if (await connection.execute(statement)).one_or_none() is None:
            raise UserError(f"There is no golden question {question_id} any more.")
        await also(connection)


async def answers_of(engine: AsyncEngine, question_id: int) -> list[GoldenAnswer]:
    """How a question was answered over time, the latest first; at most :data:`KEPT_ANSWERS` and one."""
    row = GoldenAnswerRow
    query = select(*row.__table__.columns).where(row.question_id == question_id)
    async with engine.connect() as connection:
        found = (await connection.execute(query.order_by(row.at.desc()))).mappings()
        return [_answer(one, "") for one in found]


async def _known(connection: AsyncConnection, agent_id: str) -> dict[tuple[str, ...], int]:
    """The ids of an agent's questions by their words; the agent's row is locked until the
    transaction ends, so that two people do not add the same question."""
    agent = select(AgentRow.id).where(AgentRow.id == agent_id).with_for_update()
    if (await connection.execute(agent)).one_or_none() is None:
        raise UserError(f"There is no agent {agent_id!r}.")
    row = GoldenQuestionRow
    found = await connection.execute(select(row.id, row.question).where(row.agent_id == agent_id))
    return {normal(question): key for key, question in found}


async def _insert(connection: AsyncConnection, new: NewQuestion, by: str) -> int:
    values = asdict(new) | {"created_by": by}
    statement = insert(GoldenQuestionRow).values(values).returning(GoldenQuestionRow.id)
    return int((await connection.execute(statement)).scalar_one())


async def list_questions(
    engine: AsyncEngine,
    agent_id: str = "",
    *,
    enabled_only: bool = False,
    tenant: str | None = None,
    ids: Sequence[int] = (),
) -> list[GoldenQuestion]:
    """Golden questions with their last answers; those asked longest ago (or never) first.
    ``tenant``: of its agents alone; ``ids``: those alone."""
    question, answer = GoldenQuestionRow, GoldenAnswerRow
    asked = (
        select(answer.question_id, func.max(answer.at).label("asked_at"))
        .group_by(answer.question_id)
        .subquery()
    )
    last = _last_answers().subquery()
    query = (
        select(
            *question.__table__.columns,
            asked.c.asked_at,
            *(column.label(f"last_{name}") for name, column in last.c.items()),
        )
        .outerjoin(asked, asked.c.question_id == question.id)
        .outerjoin(last, last.c.question_id == question.id)
        .order_by(asked.c.asked_at.asc().nulls_first(), question.agent_id, question.id)
    )
    if agent_id:
        query = query.where(question.agent_id == agent_id)
    if enabled_only:
        query = query.where(question.enabled)
    if ids:
        query = query.where(question.id.in_(ids))
    query = query.where(of_visible_agent(question.agent_id, tenant))
    async with engine.connect() as connection:
        return [_question(row) for row in (await connection.execute(query)).mappings()]


def _last_answers() -> Select[Any]:
    row = GoldenAnswerRow
    return (
        select(*row.__table__.columns)
        .where(row.verdict != "failed")
        .ext(distinct_on(row.question_id))
        .order_by(row.question_id, row.at.desc())
    )


def _answer(row: Any, prefix: str) -> GoldenAnswer:
    """The answer in the columns of a row that begin with ``prefix``."""
    return GoldenAnswer(
        at=row[f"{prefix}at"],
        agent_version=row[f"{prefix}agent_version"],
        knowledge_version=row[f"{prefix}knowledge_version"],
        answer=row[f"{prefix}answer"],
        source=row[f"{prefix}source"],
        passages=_PASSAGES.validate_python(row[f"{prefix}passages"]),
        verdict=row[f"{prefix}verdict"],
        similarity=row[f"{prefix}similarity"],
    )


def _question(row: Any) -> GoldenQuestion:
    last = None
    if row["last_id"] is not None:
        last = _answer(row, "last_")
    return GoldenQuestion(
        id=row["id"],
        agent_id=row["agent_id"],
        question=row["question"],
        expected=row["expected"],
        enabled=row["enabled"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        asked_at=row["asked_at"],
        last=last,
    )


async def keep_golden_answer(
    connection: AsyncConnection, question_id: int, answer: GoldenAnswer
) -> None:
    """Store an answer, and forget the oldest. Raises IntegrityError when the question was removed
    meanwhile."""
    row = GoldenAnswerRow
    values = asdict(answer) | {"question_id": question_id}
    values["passages"] = [asdict(passage) for passage in answer.passages]
    await connection.execute(insert(row).values(values))
    newest = select(row.id).where(row.question_id == question_id).order_by(row.at.desc())
    compared = newest.where(row.verdict != "failed").limit(1)
    kept = union_all(newest.limit(KEPT_ANSWERS), compared)
    statement = delete(row).where(row.question_id == question_id, row.id.not_in(kept))
    await connection.execute(statement)


async def remove_question(
    engine: AsyncEngine, question_id: int, also: Also = nothing_else
) -> GoldenQuestion:
    """Delete a golden question with its answers; returns it. Raises UserError when there is none."""
    found = await list_questions(engine, ids=[question_id])
    statement = delete(GoldenQuestionRow).where(GoldenQuestionRow.id == question_id)
    async with engine.begin() as connection:
        await connection.execute(statement)
        if found:
            await also(connection)
    if not found:
        raise UserError(f"There is no golden question {question_id}. `ivr golden list` lists them.")
    return found[0]
