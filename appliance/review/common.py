"""The answers to common questions, made in advance and checked, for workers to say at once.

Each question that several callers asked in the same words is asked once for each version of agent and
knowledge. Its answer is used only when it would be right for any caller: it rests on the knowledge,
nothing is wrong with it, and the question stands for itself.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
from dataclasses import dataclass
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.events import Agent
from appliance.knowledge.rewriting import rewrite
from appliance.knowledge.scoring import ANSWER_FLOOR
from appliance.knowledge.words import content_words
from appliance.review.asking import Asked, Asker, open_asker
from appliance.settings import Settings
from appliance.store.agents import load_agents
from appliance.store.cached_answers import (
    MOST_ANSWERS,
    CachedAnswer,
    drop_other_versions,
    forget_answers,
    keep_answer,
    list_answers,
    wording_of,
)
from appliance.store.questions import Question, common_questions
from appliance.turn.words import asks_for_person, holds, is_backchannel, is_farewell, normal

log = logging.getLogger(__name__)

RUN_S = 120.0
"""Of one run; the next one goes on."""
QUESTION_S = 60.0
LEAST_WORDS = 2
"""Words of topic: what is shorter ("price?") is about what was said before."""
LONGEST_ANSWER_LETTERS = 600
"""40 s of speech: a longer one is not kept as audio."""
_OTHER_TALK = (
    ("I would like to complain about the blue bicycle", "I see. Shall I note the colour?"),
)
"""A turn about something that no agent of ours knows: a question that this changes is no whole one."""
_HIDDEN = re.compile(r"[\[\]<>{}*#]|\d[\d\s-]{3,}")
"""What redaction leaves in a transcript, and numbers that are somebody's own."""
_OWN = frozenset(
    "my mine me i our we मेरा मेरी मेरे मुझे मैं हमारा हमारी हमारे माझा माझी माझे எனது என் என்"
    " నా నాకు আমার আমি ನನ್ನ എന്റെ મારું મારી મારો ਮੇਰਾ ਮੇਰੀ".split()
)


@dataclass(frozen=True, slots=True)
class Made:
    """What a run did."""

    asked: int = 0
    kept: int = 0
    """Fit to be said to anybody."""
    dropped: int = 0
    """Of versions that are no longer in force."""

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.asked or self.dropped)


async def make_answers(engine: AsyncEngine, settings: Settings, agent_id: str = "") -> Made:
    """Bring the cached answers of one agent or (empty) of all up to its version in force.

    Asks only what has not been asked of this version; some ms an agent where there is nothing new.
    Raises SQLAlchemyError or OSError when Postgres is away.
    """
    until = monotonic() + RUN_S
    todo: list[tuple[Agent, list[Question]]] = []
    dropped = 0
    for agent in await load_agents(engine):
        if agent_id in ("", agent.id):
            dropped += await _drop(engine, agent)
            if new := await _new_questions(engine, agent):
                todo.append((agent, new))
    if not todo:
        return Made(dropped=dropped)
    asked = kept = 0
    async with open_asker(engine, settings) as asker:
        for agent, questions in todo:
            for question in questions:
                if monotonic() > until:
                    break
                outcome = await _make(engine, asker, agent, question)
                if outcome is None:  # a server is away: the rest would fail as well
                    break
                asked, kept = asked + 1, kept + outcome
    return Made(asked, kept, dropped)


async def _drop(engine: AsyncEngine, agent: Agent) -> int:
    if agent.common_answers and agent.knowledge:
        return await drop_other_versions(engine, agent)
    return await forget_answers(engine, agent.id)


async def _new_questions(engine: AsyncEngine, agent: Agent) -> list[Question]:
    """What callers ask often, and this version of the agent has not been asked in advance."""
    if not (agent.common_answers and agent.knowledge and agent.knowledge_version):
        return []
    known = {one.cached.wording for one in await list_answers(engine, agent.id)}
    common = await common_questions(engine, agent.id, most=MOST_ANSWERS)
    return [
        question
        for question in common
        if wording_of(question.text) not in known and stands_alone(question.text, agent)
    ]


def stands_alone(said: str, agent: Agent) -> bool:
    """Whether ``said`` is a whole question, for anybody who asks it: nothing in it refers to what was
    said before, to the caller's own facts, or to how the call goes on."""
    if len(content_words(said, agent.language)) < LEAST_WORDS or _HIDDEN.search(said):
        return False
    if is_backchannel(said, agent.backchannels) or is_farewell(said, agent.farewells):
        return False
    if agent.transfer_to and asks_for_person(said, agent.transfer_words):
        return False
    words = set(normal(said))
    if words & _OWN and any(words.issuperset(normal(slot)) for slot in agent.slots if normal(slot)):
        return False  # "what is my name": this caller's
    return rewrite(said, _OTHER_TALK, agent.language) == said


async def _make(engine: AsyncEngine, asker: Asker, agent: Agent, question: Question) -> bool | None:
    """Ask one question and keep its answer; whether it may be said, or None when nobody answered."""
    watchful = agent
    if agent.grounding == "off":  # what is said to everybody is looked at all the same
        watchful = dataclasses.replace(agent, grounding="flag")
    try:
        async with asyncio.timeout(QUESTION_S):
            asked = await asker.ask(watchful, question.text)
    except TimeoutError:
        log.warning("! %s: a common question was not answered in time", agent.name)
        return None
    if asked.failure:
        log.warning("! %s: no common answers: %s", agent.name, asked.failure)
        return None
    fit = is_fit(asked, agent)
    cached = CachedAnswer(
        wording_of(question.text), question.text, asked.answer, asked.source, asked.passages
    )
    await keep_answer(engine, agent, cached, question.calls, fit=fit)
    return fit


def is_fit(asked: Asked, agent: Agent) -> bool:
    """Whether an answer may be said to anybody who asks: it rests on the knowledge, and nobody has
    found anything wrong with it."""
    if asked.failure or asked.findings or asked.stopped or asked.wants_person:
        return False
    if not asked.answer or len(asked.answer) > LONGEST_ANSWER_LETTERS:
        return False
    if holds(asked.answer, agent.unknown_answer) or holds(asked.answer, agent.safe_phrase):
        return False
    return any(p.cited and p.score >= ANSWER_FLOOR for p in asked.passages)
