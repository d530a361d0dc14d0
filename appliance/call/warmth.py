"""Keeps the language model's servers warm: they have read the prompts before a caller needs them.

Every server of every model gets each agent's opening (fixed prompt, greeting) as soon as it is up, and
again after it was restarted or asked nothing for a while; then, on the servers of the first model, the
commonest questions of the call log with the passages that answer them. One request at a time, one
token each, at the lowest priority: live calls go before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

import aiohttp
from sqlalchemy.exc import SQLAlchemyError

from appliance.call.history import opening
from appliance.engines.http import RefusedError
from appliance.engines.pool import Server
from appliance.errors import reason_of
from appliance.events import Agent, Message, Passage
from appliance.seldom import Seldom
from appliance.store.questions import Question

log = logging.getLogger(__name__)

TICK_S = 1.0
"""How often it is looked whether a server needs something; as often as pools ask for its health."""
MOST_AGENTS = 64
"""Whose prompts are kept warm; with more of them the first ones published."""
QUESTIONS_EVERY_S = 3600.0
QUESTIONS_AGAIN_S = 60.0
"""After a try for which Postgres was away."""
REST_S = 10.0
"""A server that did not read a prompt is left alone for so long."""
SEARCH_DEADLINE_MS = 1000
"""Nobody waits for it, and the first search of a version is the slow one."""
MOST_FINDING_S = 10.0

ANYTHING = "Hello."
"""Ends an opening: templates want a question, and what it is decides nothing before it."""

_Key = tuple[str, str]
"""Agent's context and question; an empty question is the opening."""


class Model(Protocol):
    """One language model's servers."""

    def servers_up(self) -> list[Server]:
        """Those that can be asked now."""

    def is_vllm(self, server: Server) -> bool:
        """Whether it heeds priorities."""

    def idle_s(self, server: Server) -> float:
        """How long it was asked nothing."""

    async def warm(self, server: Server, messages: Sequence[Message], model: str = "") -> None:
        """Let it read a prompt. Raises RefusedError, aiohttp.ClientError or TimeoutError."""


class Finder(Protocol):
    """What finds passages."""

    async def search(self, agent: Agent, text: str, deadline_ms: float) -> list[Passage]:
        """The passages that may answer ``text``; never raises."""


FindQuestions = Callable[[str], Awaitable[Sequence[Question]]]
"""The common questions of an agent, by its id."""


@dataclass
class _Seen:
    """What one server has read since it came up."""

    failed_at: float
    read: set[_Key] = field(default_factory=set)
    rests_until: float = 0.0


class Warmth:
    """Warms the servers of ``models``, the first model before its fallback; one a worker."""

    def __init__(
        self, models: Sequence[Model], search: Finder, find: FindQuestions, keep_warm_s: float
    ) -> None:
        """``keep_warm_s``: see ``engines.llm.keep_warm_s``."""
        self._models = models
        self._search = search
        self._find = find
        self._keep_warm_s = keep_warm_s
        self._agents: dict[str, Agent] = {}
        self._questions: dict[str, Sequence[Question]] = {}
        self._prompts: dict[_Key, list[Message]] = {}
        self._seen: dict[Server, _Seen] = {}
        self._asked_at: float | None = None
        self._seldom = Seldom(monotonic)

    def learn(self, agents: Sequence[Agent]) -> None:
        """Who may answer from now on; what is new about them is warmed, the rest forgotten."""
        current = {agent.context: agent for agent in agents[:MOST_AGENTS]}
        if current == self._agents:
            return
        self._agents = current
        self._prompts = {key: p for key, p in self._prompts.items() if key[0] in current}
        for seen in self._seen.values():
            seen.read = {key for key in seen.read if key[0] in current}
        self._asked_at = None  # an agent that is new here may have a past elsewhere

    async def openings(self) -> None:
        """Let every server that is up read every opening; those that fail are left for later."""
        while (work := self._next(self._openings())) is not None:
            await self._do(*work)

    async def run(self) -> None:
        """Do what there is to do, one prompt after the other, until cancelled."""
        while True:
            try:
                if not await self._step():
                    await asyncio.sleep(TICK_S)
            except Exception:  # the border of a job: no call depends on it
                log.exception("! the language model is not warmed")
                await asyncio.sleep(REST_S)

    async def _step(self) -> bool:
        """The most urgent piece of work; False when there is none."""
        self._forget_idle()
        await self._ask_questions()
        if (work := self._next(self._openings())) is not None:
            await self._do(*work)
            return True
        if (key := next((k for k in self._asked() if k not in self._prompts), None)) is not None:
            await self._look_up(key)  # also without a language model: the search is warm then
            return True
        if (work := self._next(self._asked(), self._models[:1])) is not None:
            await self._do(*work)
            return True
        return False

    def _openings(self) -> Iterator[_Key]:
        return ((context, "") for context in self._agents)

    def _asked(self) -> Iterator[_Key]:
        for context, agent in self._agents.items():
            for question in self._questions.get(agent.id, ()):
                yield context, question.text

    def _next(
        self, keys: Iterator[_Key], models: Sequence[Model] | None = None
    ) -> tuple[Model, Server, _Key] | None:
        """A server that has not read one of these prompts, and may be asked to."""
        now, wanted = asyncio.get_running_loop().time(), list(keys)
        for model in self._models if models is None else models:
            for server in model.servers_up():
                seen = self._seen_by(server)
                if seen.rests_until > now or (server.in_flight and not model.is_vllm(server)):
                    continue  # without priorities it would stand in a caller's way
                for key in wanted:
                    if key not in seen.read:
                        return model, server, key
        return None

    def _seen_by(self, server: Server) -> _Seen:
        seen = self._seen.get(server)
        if seen is None or seen.failed_at != server.failed_at:  # it may have been restarted
            self._seen[server] = seen = _Seen(server.failed_at)
        return seen

    async def _do(self, model: Model, server: Server, key: _Key) -> None:
        agent, seen = self._agents[key[0]], self._seen_by(server)
        messages = self._prompts.get(key) or opening(agent).messages(agent, (), ANYTHING)
        own = agent.llm_model if model is self._models[0] else ""
        try:
            await model.warm(server, messages, own)
        except RefusedError as e:  # the same again would be refused again
            self._seldom.warn(
                log, agent.context, "! llm %s refused the prompt of %s version %d: %s. A reply would be"
                " refused too: is it too long, or its llm_model not served?",
                *(server.url, agent.name, agent.version, e),
            )  # fmt: skip
        except (aiohttp.ClientError, TimeoutError) as e:
            seen.rests_until = asyncio.get_running_loop().time() + REST_S
            log.info("= llm %s is not warm yet: %s", server.url, reason_of(e))
            return
        seen.read.add(key)

    def _forget_idle(self) -> None:
        """A server that was idle for too long reads the openings again; what is gone is forgotten."""
        up = {server: model for model in self._models for server in model.servers_up()}
        for server in [s for s in self._seen if s not in up]:
            del self._seen[server]
        if not self._keep_warm_s:
            return
        for server, seen in self._seen.items():
            if up[server].idle_s(server) >= self._keep_warm_s:
                seen.read = {key for key in seen.read if key[1]}

    async def _ask_questions(self) -> None:
        """Read the call log, once an hour and for agents that are new."""
        now = asyncio.get_running_loop().time()
        if self._asked_at is not None and now - self._asked_at < QUESTIONS_EVERY_S:
            return
        self._asked_at = now
        found: dict[str, Sequence[Question]] = {}
        for agent_id in {agent.id for agent in self._agents.values()}:
            try:
                async with asyncio.timeout(MOST_FINDING_S):
                    found[agent_id] = await self._find(agent_id)
            except (SQLAlchemyError, OSError, TimeoutError) as e:
                log.info("= the common questions are not known: %s", reason_of(e))
                found[agent_id] = self._questions.get(agent_id, ())
                self._asked_at = now - QUESTIONS_EVERY_S + QUESTIONS_AGAIN_S
        self._questions = found
        wanted = {*self._asked()}
        self._prompts = {key: p for key, p in self._prompts.items() if key in wanted}
        if wanted:
            log.info("= %d common questions of callers are prepared", len(wanted))

    async def _look_up(self, key: _Key) -> None:
        """The prompt for a common question as a call's first, with its passages."""
        agent = self._agents[key[0]]
        passages = await self._search.search(agent, key[1], SEARCH_DEADLINE_MS)
        self._prompts[key] = opening(agent).messages(agent, passages, key[1])
