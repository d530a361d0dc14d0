"""``/golden``: questions whose answers are watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.exc import SQLAlchemyError

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.console import Console
from appliance.admin.services import golden
from appliance.admin.services.theirs import LARGEST_ID, agent_tenant
from appliance.errors import UserError
from appliance.review.golden import Outcome
from appliance.store.golden import MOST_QUESTIONS

router = APIRouter(prefix="/golden", tags=["golden questions"])

Reader = Annotated[Actor, needs(Permission.FLAGS_READ)]
Reviewer = Annotated[Actor, needs(Permission.FLAGS_DECIDE)]
Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
AgentId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Expected = Annotated[str, StringConstraints(max_length=500)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Shown(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class NewQuestion(_Body):
    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    expected: Expected = ""
    """Words that a right answer holds, alternatives parted by ``|``."""


class NewQuestions(_Body):
    agent_id: AgentId
    questions: Annotated[list[NewQuestion], Field(min_length=1, max_length=200)]


class Edit(_Body):
    expected: Expected = ""
    enabled: bool = True


class RunOf(_Body):
    agent_id: AgentId


class Answer(_Shown):
    at: datetime
    agent_version: int
    knowledge_version: int
    answer: str
    source: str
    verdict: str
    similarity: float | None


class Question(_Shown):
    id: int
    agent_id: str
    question: str
    expected: str
    enabled: bool
    created_by: str
    created_at: datetime
    asked_at: datetime | None
    last: Answer | None


class Added(BaseModel):
    ids: list[int]
    added: int
    """The others were there already, and have what is expected changed."""


@router.get("")
async def list_questions(
    console: ConsoleOf, actor: Reader, agent_id: Annotated[str, Query(max_length=64)] = ""
) -> list[Question]:
    """Golden questions, each with its last answer."""
    found = await golden.questions(console, actor, agent_id)
    return [Question.model_validate(one) for one in found]


@router.post("", status_code=201)
async def add_questions(console: ConsoleOf, actor: Reviewer, body: NewQuestions) -> Added:
    """Watch questions of an agent, all or none."""
    new = [(one.question, one.expected) for one in body.questions]
    ids, added = await golden.add(console, actor, body.agent_id, new)
    return Added(ids=ids, added=added)


@router.put("/{question_id}")
async def edit_question(
    console: ConsoleOf, actor: Reviewer, question_id: Id, body: Edit
) -> Question:
    """Change what a right answer holds, and whether the question is asked."""
    changed = await golden.edit(
        console, actor, question_id, expected=body.expected, enabled=body.enabled
    )
    return Question.model_validate(changed)


@router.delete("/{question_id}", status_code=204)
async def remove_question(console: ConsoleOf, actor: Reviewer, question_id: Id) -> None:
    """Watch a question no longer."""
    await golden.remove(console, actor, question_id)


@router.get("/{question_id}/answers")
async def list_answers(console: ConsoleOf, actor: Reader, question_id: Id) -> list[Answer]:
    """How a question was answered over time, the latest first."""
    found = await golden.answers(console, actor, question_id)
    return [Answer.model_validate(one) for one in found]


@router.post(
    "/runs",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
async def run(console: ConsoleOf, actor: Reviewer, body: RunOf) -> StreamingResponse:
    """Ask an agent's questions now. The answer is lines of JSON, one for each question as it is
    answered and one for the whole; who hangs up ends the run."""
    await agent_tenant(console, actor, body.agent_id)
    return StreamingResponse(_lines(console, actor, body.agent_id), media_type=NDJSON)


NDJSON = "application/x-ndjson"


async def _lines(console: Console, actor: Actor, agent_id: str) -> AsyncIterator[bytes]:
    # a line for each question of an agent, one for the whole and the end: never full
    told: asyncio.Queue[bytes] = asyncio.Queue(MOST_QUESTIONS + 2)

    def progress(outcome: Outcome, done: int, total: int) -> None:
        line = {
            "id": outcome.question.id,
            "verdict": outcome.verdict,
            "answer": outcome.asked.answer,
            "failure": outcome.asked.failure,
            "flag": outcome.flag.id if outcome.flag else None,
            "done": done,
            "total": total,
        }
        told.put_nowait(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    async def work() -> None:
        try:
            ended = await golden.run(console, actor, agent_id, progress)
            last = {"verdicts": ended.verdicts, "flags": ended.flags, "left": ended.left}
            told.put_nowait(orjson.dumps(last, option=orjson.OPT_APPEND_NEWLINE))
        except (UserError, SQLAlchemyError) as e:
            why = str(e) if isinstance(e, UserError) else "The database did not answer."
            told.put_nowait(orjson.dumps({"error": {"message": why}}) + b"\n")
        finally:
            told.put_nowait(b"")

    task = asyncio.create_task(work())  # ends with this generator, whoever ends it
    try:
        while line := await told.get():
            yield line
    finally:
        task.cancel()
        await asyncio.wait({task})
