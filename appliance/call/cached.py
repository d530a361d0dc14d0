"""The answers to what callers ask often, with their audio, in a worker's memory.

They are made and checked outside the call path (``review/common.py``) for one version of agent and
knowledge; a worker only loads and speaks them. A call that began with another version never meets them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from appliance.call.kept import KeptAudio
from appliance.errors import reason_of
from appliance.events import Agent
from appliance.seldom import Seldom
from appliance.store.cached_answers import CachedAnswer, wording_of

log = logging.getLogger(__name__)

MOST_AUDIO_BYTES = 200_000_000
"""Kept audio of a worker, fixed phrases included: some 400 answers of 10 s at both rates. Beyond it
answers are known by their text alone, which still spares search and language model."""

LOAD_TIMEOUT_S = 5.0
"""A Postgres that hangs must not keep new versions and rules from being learned."""

LoadAnswers = Callable[[Agent], Awaitable[Sequence[CachedAnswer]]]


class CommonAnswers:
    """What is answered at once; one a worker."""

    def __init__(self, load: LoadAnswers, kept: KeptAudio) -> None:
        self._load = load
        self._kept = kept
        self._answers: dict[str, dict[str, CachedAnswer]] = {}
        """By the agent's context, then by wording."""
        self._seldom = Seldom(monotonic)

    def find(self, agent: Agent, said: str) -> CachedAnswer | None:
        """The answer to these very words, but for fillers; None when there is none in advance."""
        answers = self._answers.get(agent.context)
        return answers.get(wording_of(said)) if answers else None

    def texts(self, agent: Agent) -> list[str]:
        """What is said to them, for whoever keeps its audio."""
        return [answer.answer for answer in self._answers.get(agent.context, {}).values()]

    async def refresh(self, agents: Sequence[Agent]) -> None:
        """Load what is new, forget what was withdrawn and whose agent is gone; nobody waits for it.

        With Postgres away what is known stays: the versions that it belongs to have not changed.
        """
        current = {agent.context: agent for agent in agents if agent.common_answers}
        self._answers = {key: a for key, a in self._answers.items() if key in current}
        for context, agent in current.items():
            try:
                async with asyncio.timeout(LOAD_TIMEOUT_S):
                    found = await self._load(agent)
            except (SQLAlchemyError, OSError, TimeoutError) as e:
                self._seldom.warn(log, "away", "! common answers not loaded: %s", reason_of(e))
                return
            known = {answer.wording: answer for answer in found}
            if known == self._answers.get(context, {}):
                continue
            self._answers[context] = known
            if self._kept.size_bytes < MOST_AUDIO_BYTES:
                await self._kept.speak(agent, self.texts(agent))
            log.info("= %s: %d common answers", agent.name, len(known))
