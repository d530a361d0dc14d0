"""``/answers``: an agent asked without a call; its answers to common questions, made in advance."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.api.flags import Finding, Passage
from appliance.admin.api.knowledge import EarlierTurn, Text
from appliance.admin.services import asking, common_answers
from appliance.admin.services.searching import Earlier

router = APIRouter(prefix="/answers", tags=["answers"])

AgentId = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Ask(_Body):
    agent_id: AgentId
    question: Text
    earlier: Annotated[list[EarlierTurn], Field(max_length=6)] = []


class Withdraw(_Body):
    agent_id: AgentId
    wording: Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class Asked(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    question: str
    answer: str
    written: str
    source: str
    passages: list[Passage]
    findings: list[Finding]
    stopped: bool
    agent_version: int
    knowledge_version: int
    total_ms: float
    failure: str
    wants_person: bool


class Common(BaseModel):
    agent_id: str
    agent_version: int
    knowledge_version: int
    wording: str
    question: str
    answer: str
    source: str
    calls: int
    withdrawn: bool
    made_at: datetime


@router.post("/ask")
async def ask(
    console: ConsoleOf, actor: Annotated[Actor, needs(Permission.AGENTS_TRY)], body: Ask
) -> Asked:
    """What an agent's version in force would answer, what that rests on, and what the guard found."""
    earlier = [Earlier(one.said, one.heard) for one in body.earlier]
    found = await asking.ask(console, actor, body.agent_id, body.question, earlier)
    return Asked.model_validate(found)


@router.get("")
async def list_answers(
    console: ConsoleOf,
    actor: Annotated[Actor, needs(Permission.FLAGS_READ)],
    agent_id: Annotated[str, Query(max_length=64)] = "",
) -> list[Common]:
    """Answers to what callers ask often, made in advance."""
    return [
        Common(
            agent_id=one.agent_id,
            agent_version=one.agent_version,
            knowledge_version=one.knowledge_version,
            wording=one.cached.wording,
            question=one.cached.question,
            answer=one.cached.answer,
            source=one.cached.source,
            calls=one.calls,
            withdrawn=one.withdrawn,
            made_at=one.made_at,
        )
        for one in await common_answers.answers(console, actor, agent_id)
    ]


@router.post("/withdraw", status_code=204)
async def withdraw(
    console: ConsoleOf, actor: Annotated[Actor, needs(Permission.FLAGS_DECIDE)], body: Withdraw
) -> None:
    """Have a question no longer answered from memory."""
    await common_answers.withdraw(console, actor, body.agent_id, body.wording)
