"""The golden questions of each agent, asked again every night; what has changed is flagged.

Calls go first: questions are asked one after the other at the lowest priority, for so long and no
longer. What a night does not reach, the next begins with.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import Agent, Flag, Severity
from appliance.review.asking import Asked, Asker, answered, open_asker
from appliance.review.likeness import Said, cosine, has_changed, holds
from appliance.safety.flags import flag_id
from appliance.settings import Settings
from appliance.store.agents import load_agent
from appliance.store.flags import BY_GOLDEN, Answered, Retest, add_flags, keep_retest
from appliance.store.golden import (
    GoldenAnswer,
    GoldenQuestion,
    Verdict,
    keep_golden_answer,
    list_questions,
)

log = logging.getLogger(__name__)

RUN_S = 900.0
"""Of one run: some 450 questions of a language model that takes 2 s. Other jobs wait meanwhile."""
MOST_ASKED = 2000
"""Of one run."""
QUESTION_S = 60.0
"""Of one question; who takes longer has failed."""
MOST_FAILED_IN_A_ROW = 5
"""Then a server is away, and the rest is for the next night."""
_SEVERITY: dict[Verdict, Severity] = {"wrong": "high", "stopped": "medium", "changed": "medium"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one golden question."""

    question: GoldenQuestion
    asked: Asked
    verdict: Verdict
    similarity: float | None
    flag: Flag | None
    """None where there is nothing to tell."""


@dataclass(frozen=True, slots=True)
class GoldenRun:
    """What a run did."""

    outcomes: tuple[Outcome, ...] = ()
    flags: int = 0
    """New ones."""
    left: int = 0
    """Questions that it had no time for."""
    verdicts: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        told = ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.items())
        return f"{told or 'nothing asked'}; {self.flags} flags, {self.left} left"

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.outcomes or self.left)


Progress = Callable[[Outcome, int, int], None]
"""Told of an outcome, how many there are by now, and of how many questions."""


async def ask_golden(
    engine: AsyncEngine,
    settings: Settings,
    agent_id: str = "",
    progress: Progress = lambda outcome, done, total: None,
) -> GoldenRun:
    """Ask the enabled golden questions of one agent or (empty) of all, those asked longest ago first.
    ``progress`` is told of each as it is answered.

    Raises SQLAlchemyError or OSError when Postgres is away; UserError for an unknown agent.
    """
    questions = await list_questions(engine, agent_id, enabled_only=True)
    if not questions:
        if agent_id and await load_agent(engine, agent_id) is None:
            raise UserError(f"There is no agent {agent_id!r}.")
        return GoldenRun()
    async with open_asker(engine, settings) as asker:
        return await _run(engine, asker, questions, progress)


async def _run(
    engine: AsyncEngine, asker: Asker, questions: Sequence[GoldenQuestion], progress: Progress
) -> GoldenRun:
    until = monotonic() + RUN_S
    agents: dict[str, Agent | None] = {}
    outcomes: list[Outcome] = []
    flags = failed_in_a_row = nobodys = 0
    for question in questions[:MOST_ASKED]:
        if monotonic() > until or failed_in_a_row >= MOST_FAILED_IN_A_ROW:
            break
        if question.agent_id not in agents:
            agents[question.agent_id] = await _agent(engine, question.agent_id)
        agent = agents[question.agent_id]
        if agent is None:
            nobodys += 1
            continue
        outcome = await _outcome(asker, agent, question)
        flags += await _keep(engine, outcome)
        outcomes.append(outcome)
        progress(outcome, len(outcomes), len(questions))
        failed_in_a_row = failed_in_a_row + 1 if outcome.verdict == "failed" else 0
    left = len(questions) - len(outcomes) - nobodys
    verdicts = Counter(str(outcome.verdict) for outcome in outcomes)
    return GoldenRun(tuple(outcomes), flags, left, dict(verdicts))


async def _agent(engine: AsyncEngine, agent_id: str) -> Agent | None:
    try:
        return await load_agent(engine, agent_id)
    except UserError as e:
        log.warning("! %s", e)
        return None


async def _outcome(asker: Asker, agent: Agent, question: GoldenQuestion) -> Outcome:
    try:
        async with asyncio.timeout(QUESTION_S):
            asked = await asker.ask(agent, question.question)
    except TimeoutError:
        asked = Asked.failed(agent, question.question, "there was no answer in time")
    verdict, similarity = await _verdict(asker, agent, question, asked)
    flag = None
    if verdict in _SEVERITY:
        flag = _flag(agent, question, asked, verdict)
    return Outcome(question, asked, verdict, similarity, flag)


async def _verdict(
    asker: Asker, agent: Agent, question: GoldenQuestion, asked: Asked
) -> tuple[Verdict, float | None]:
    """The gravest that is true of an answer, and how near it is to the one before."""
    if asked.failure:
        return "failed", None
    last = question.last
    similarity = await cosine(asker.embedder, last.answer, asked.answer) if last else None
    if asked.stopped:
        return "stopped", similarity
    if question.expected and not holds(asked.answer, question.expected, agent.language):
        return "wrong", similarity
    if last is None:
        return "same", None
    before = Said(last.answer, last.source, last.passages)
    now = Said(asked.answer, asked.source, asked.passages)
    changed = has_changed(before, now, similarity, agent.language)
    return ("changed" if changed else "same"), similarity


def _flag(agent: Agent, question: GoldenQuestion, asked: Asked, verdict: Verdict) -> Flag:
    rule = f"golden.{verdict}"
    # One flag for what one version does wrong, and for each change: told every night, it would be
    # dismissed every day.
    since = question.last.answer if question.last and verdict == "changed" else ""
    known = f"{question.id} {agent.version} {agent.knowledge_version} {since}"
    return Flag(
        id=flag_id("", question.id, "agent", rule, known),
        at=datetime.now(UTC),
        call_id="",
        turn=0,
        agent_id=agent.id,
        agent_version=agent.version,
        knowledge=agent.knowledge,
        knowledge_version=agent.knowledge_version,
        found_by="golden",
        side="agent",
        rule=rule,
        category=verdict,
        severity=_SEVERITY[verdict],
        action="stopped" if asked.stopped else "flagged",
        phrase=asked.answer,
        question=question.question,
        answer=asked.written,
    )


async def _keep(engine: AsyncEngine, outcome: Outcome) -> int:
    """Store an answer, with its flag in the same transaction. Returns how many flags are new."""
    asked, last = outcome.asked, outcome.question.last
    answer = GoldenAnswer(
        datetime.now(UTC), asked.agent_version, asked.knowledge_version, asked.answer,
        asked.source, asked.passages, outcome.verdict, outcome.similarity,
    )  # fmt: skip
    try:
        async with engine.begin() as connection:
            await keep_golden_answer(connection, outcome.question.id, answer)
            new = await add_flags(connection, [outcome.flag] if outcome.flag else [])
    except IntegrityError:  # removed while it was asked
        return 0
    if new and outcome.flag and last:
        retest = Retest(datetime.now(UTC), BY_GOLDEN, "", _as_answered(last), answered(asked))
        await keep_retest(engine, outcome.flag.id, retest)
    return new


def _as_answered(last: GoldenAnswer) -> Answered:
    return Answered(
        last.answer, last.source, last.passages, (), last.agent_version, last.knowledge_version
    )
