"""Asks an agent a question as a caller would be answered, without a call: nothing is spoken.

Search, rewriting, prompt, language model, extract and guard are those of a call
(:mod:`appliance.call.answerer`, :mod:`appliance.call.release`). What differs: it is asked at the
lowest priority, the search may take its time, and every verdict is waited for, so that an answer
depends on the knowledge and the rules and not on how busy the servers are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from time import perf_counter

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.call.answerer import Answerer
from appliance.call.history import opening
from appliance.call.release import Guarding, Release
from appliance.call.reply import Reply
from appliance.engines.base import Embedder, Writer
from appliance.engines.clients import Clients
from appliance.events import Agent, Passage, ReplySource, Side
from appliance.knowledge.search import Search
from appliance.safety.grounding import cited
from appliance.safety.guard import Finding, Guard
from appliance.safety.rules import RuleSet
from appliance.settings import Settings
from appliance.speech.phrases import Phrases
from appliance.store.flags import Answered
from appliance.store.rules_of_site import load_rules

SEARCH_DEADLINE_MS = 3000
"""Nobody is on the line: a search that is late for a call is still the right one here."""
PATIENCE_MS = 1000
"""For one server: what is late in a call is waited for here, and the search still ends in time."""
VERDICT_DEADLINE_MS = 60_000
"""Above the guard model's own timeout: its verdict is waited for."""
RATE_HZ = 8000
"""Of the sound that a reply has room for, and that is never made here."""
CALL_ID = "review"
"""What the language model's server is told for the id of a call."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what the agent would have said to it."""

    question: str
    answer: str
    """What a caller would have heard, whole."""
    written: str
    """The same before the guard stopped anything."""
    source: ReplySource
    passages: tuple[Passage, ...]
    """As found, best first; ``cited`` where the answer rests on it."""
    findings: tuple[Finding, ...]
    stopped: bool
    """The guard put the safe phrase in place of some of it."""
    agent_version: int
    knowledge_version: int
    total_ms: float
    failure: str = ""
    """In plain words, what was not as meant (a server away): the answer says nothing then."""
    caller_findings: tuple[Finding, ...] = ()
    """What a person should know of the question itself."""
    wants_person: bool = False
    """The language model would have the call transferred."""

    @classmethod
    def failed(cls, agent: Agent, question: str, why: str) -> Asked:
        """There was no answer."""
        versions = agent.version, agent.knowledge_version
        return cls(question, "", "", "llm", (), (), False, *versions, 0.0, why)


def answered(asked: Asked, side: Side = "agent") -> Answered:
    """An answer as the review queue keeps it, with what was found on this side."""
    return Answered(
        asked.answer,
        asked.source,
        asked.passages,
        asked.findings if side == "agent" else asked.caller_findings,
        asked.agent_version,
        asked.knowledge_version,
        asked.failure,
    )


class Asker:
    """Asks questions of any agent."""

    def __init__(
        self,
        search: Search,
        writer: Writer | None,
        guarding: Guarding,
        embedder: Embedder,
        embedder_is_up: Callable[[], bool] = lambda: True,
    ) -> None:
        self.embedder = embedder
        """For whoever compares answers."""
        self._search = search
        self._answerer = Answerer(writer, search, SEARCH_DEADLINE_MS)
        self._guarding = guarding
        self._embedder_is_up = embedder_is_up

    async def ask(
        self, agent: Agent, question: str, earlier: Sequence[tuple[str, str]] = ()
    ) -> Asked:
        """What ``agent`` would answer, after the turns ``earlier`` (said, heard; the latest last).

        Waits as long as a call would for the language model, and longer for everything else. Never
        raises for a server that is away: ``failure`` says it.
        """
        begin = perf_counter()
        await self._search.preload(agent.knowledge, agent.knowledge_version)
        history = opening(agent)
        for said, heard in earlier:
            history.add(said, heard)
        reply = Reply("llm", question, RATE_HZ, lambda: round((perf_counter() - begin) * 1000))
        reply.speculative = True
        await self._answerer.look_up(reply, agent, history)
        if agent.knowledge and not self._embedder_is_up():
            reply.fail("no embedding server is up: passages were found by words alone")
        patient = dataclasses.replace(agent, guard_deadline_ms=VERDICT_DEADLINE_MS)
        if patient.guard_mode == "release":
            patient = dataclasses.replace(patient, guard_mode="hold")
        release = self._guarding.open(patient, reply, history)
        failure_before = reply.failure
        release.look_at_caller()
        texts = self._answerer.write(reply, agent, history, CALL_ID)
        hurry = self._answerer.writer is not None
        heard, stopped = await _released(reply, texts, release, hurry)
        if stopped:
            heard = f"{heard} {agent.safe_phrase}".strip()
        return Asked(
            question=question,
            answer=heard,
            written=reply.text.strip(),
            source=reply.source,
            passages=cited(heard, reply.passages),
            findings=tuple(one.finding for one in reply.findings if one.side == "agent"),
            caller_findings=tuple(one.finding for one in reply.findings if one.side == "caller"),
            stopped=stopped,
            agent_version=agent.version,
            knowledge_version=agent.knowledge_version,
            total_ms=(perf_counter() - begin) * 1000,
            failure=failure_before if stopped else reply.failure,
            wants_person=reply.wants_person,
        )


async def _released(
    reply: Reply, texts: AsyncGenerator[str, None], release: Release, hurry: bool
) -> tuple[str, bool]:
    """What would be heard of a text that is being written, and whether the guard stopped it there."""
    splitter = Phrases(hurry=hurry)
    heard: list[str] = []

    async def may_be_heard(phrases: Sequence[str]) -> bool:
        for phrase in phrases:
            if not await release.may_be_heard(release.ask(phrase)):
                return False
            heard.append(phrase)
        return True

    async with aclosing(texts):
        async for text in texts:
            reply.written(text)
            if not await may_be_heard(splitter.feed(text)):
                return " ".join(heard), True
    stopped = not await may_be_heard(splitter.flush())
    return " ".join(heard), stopped


@asynccontextmanager
async def open_asker(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Asker]:
    """An asker on the servers that the settings name, with the rules as they stand now.

    Raises SQLAlchemyError or OSError when Postgres is away.
    """
    rules = RuleSet(await load_rules(engine))
    async with aiohttp.ClientSession() as http:
        clients = Clients(settings, http, PATIENCE_MS)
        search = Search(engine, clients.embedder, reranker=clients.reranker)
        writer, model = clients.writer, clients.guard_model
        await clients.find_servers()
        guarding, embed = Guarding(Guard(rules), model), clients.embed_pool
        try:
            yield Asker(search, writer, guarding, clients.embedder, embed.is_up)
        finally:
            await search.close()
