"""Moderation after the fact: every call that is over is checked again, both sides, as a whole.

The rules are those of now: a rule that was written after a call finds what it said. A flag that the
guard raised in the call is the same one (:mod:`appliance.safety.flags`) and stays as it is.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

import aiohttp
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.call.release import Judge
from appliance.engines.guard_model import GuardModel
from appliance.errors import EngineError, UserError
from appliance.events import Agent, Flag, Side, Turn
from appliance.review.places import OWN_WORDS, Place, caller_place, heard_phrases
from appliance.safety.flags import flag_of_turn
from appliance.safety.guard import Context, Finding, Guard
from appliance.safety.rules import RuleSet
from appliance.settings import Settings
from appliance.store.agents import load_agent
from appliance.store.flags import add_flags
from appliance.store.moderating import WholeCall, mark_moderated, take_unmoderated
from appliance.store.rules_of_site import load_rules
from appliance.turn.words import holds, normal

log = logging.getLogger(__name__)

RUN_S = 120.0
"""Of one run; what is left is for the next, which is asked for every ``jobs.sweep_s``."""
TALK_TURNS = 12
"""Before a turn, that its answer may rest on; what is older is in the call's memory."""
UNANSWERED_TURNS = 2
"""So many questions without an answer in one call are worth a look: the knowledge lacks something."""
EVERY_CHECK = Agent("", 0, "").guard_checks
"""An agent that does not watch its own words is no reason to overlook what callers say."""
MOST_FAILURES = 20
"""Calls that broke the check (a bug) before a run gives up."""


@dataclass(frozen=True, slots=True)
class Moderated:
    """What a run did."""

    calls: int = 0
    flags: int = 0
    """New ones."""
    failed: int = 0

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.calls or self.failed)


async def moderate_new(engine: AsyncEngine, settings: Settings) -> Moderated:
    """Check the calls that ended since, each in one transaction with its flags.

    Safe to run in several processes at once, and to be killed. Raises SQLAlchemyError or OSError when
    Postgres is away.
    """
    until = monotonic() + RUN_S
    calls = flags = 0
    broken: set[str] = set()
    async with AsyncExitStack() as stack:
        checking = _Checking(engine, settings, stack)
        while monotonic() < until and len(broken) < MOST_FAILURES:
            taken = ""
            try:
                async with engine.begin() as connection:
                    whole = await take_unmoderated(connection, datetime.now(UTC), broken)
                    if whole is None:
                        break
                    taken = whole.call.call_id
                    flags += await add_flags(connection, await checking.flags_of(whole))
                    await mark_moderated(connection, taken)
                calls += 1
            except (SQLAlchemyError, OSError):
                raise
            except Exception:  # the border of a job: one strange call keeps no other waiting
                if not taken:
                    raise
                log.exception("! call %s was not checked", taken)
                broken.add(taken)
    return Moderated(calls, flags, len(broken))


class _Checking:
    """What one run checks calls by; the rules are read when there is a call to check."""

    def __init__(self, engine: AsyncEngine, settings: Settings, stack: AsyncExitStack) -> None:
        """``stack`` closes the guard model's connections."""
        self._engine = engine
        self._settings = settings
        self._stack = stack
        self._moderator: Moderator | None = None
        self._agents: dict[tuple[str, int], Agent] = {}

    async def flags_of(self, whole: WholeCall) -> list[Flag]:
        """As :meth:`Moderator.flags_of`, by the agent's version of that call."""
        if self._moderator is None:
            self._moderator = await self._open()
        return await self._moderator.flags_of(whole, await self._agent_of(whole))

    async def _open(self) -> Moderator:
        model: Judge | None = None
        if self._settings.guard.url:
            http = await self._stack.enter_async_context(aiohttp.ClientSession())
            model = GuardModel(http, self._settings.guard)
        return Moderator(Guard(RuleSet(await load_rules(self._engine))), model)

    async def _agent_of(self, whole: WholeCall) -> Agent:
        call = whole.call
        key = call.agent_id, call.agent_version
        if key not in self._agents:
            try:
                found = await load_agent(self._engine, *key)
            except UserError as e:  # its config is none of ours any more
                log.warning("! %s", e)
                found = None
            # an agent that was deleted: its calls are checked by the rules for every agent
            self._agents[key] = found or Agent(*key, call.agent_id, language=call.language)
        return self._agents[key]


class Moderator:
    """Checks whole calls by one set of rules."""

    def __init__(self, guard: Guard, model: Judge | None = None) -> None:
        self._guard = guard
        self._model = model

    async def flags_of(self, whole: WholeCall, agent: Agent) -> list[Flag]:
        """What a person should look at in a call: the same call gives the same flags."""
        found: list[Flag] = []
        everything = dataclasses.replace(agent, guard_checks=EVERY_CHECK)
        for number, turn in enumerate(whole.turns):
            following = next(iter(whole.turns[number + 1 :]), None)
            for finding in self._guard.check_caller(turn.said, everything):
                found.append(_flag(finding, turn, agent, "caller", turn.said, caller_place(turn)))
            if turn.source not in OWN_WORDS:
                found += [flag async for flag in self._agent_side(whole, number, following, agent)]
        found += _unanswered(whole, agent)
        return found

    async def _agent_side(
        self, whole: WholeCall, number: int, following: Turn | None, agent: Agent
    ) -> AsyncIterator[Flag]:
        turn = whole.turns[number]
        own = {normal(text) for text in (agent.safe_phrase, agent.unknown_answer, agent.apology)}
        talk = tuple((t.said, t.heard) for t in whole.turns[max(0, number - TALK_TURNS) : number])
        memory = "\n".join((whole.call.memory, *whole.call.facts.values()))
        for heard in heard_phrases(turn, following):
            if normal(heard.text) in own:
                continue
            context = Context(agent, turn.said, turn.passages, heard.before, talk, memory)
            findings = list(self._guard.check_phrase(heard.text, context))
            if (judged := await self._judged(context, heard.text)) is not None:
                findings.append(judged)
            for finding in findings:
                yield _flag(finding, turn, agent, "agent", heard.text, heard.place)

    async def _judged(self, context: Context, phrase: str) -> Finding | None:
        if self._model is None:
            return None
        try:
            return await self._model.judge(context, phrase)
        except EngineError as e:
            log.warning("! calls are checked without the guard model: %s", e)
            self._model = None
            return None


def _flag(
    finding: Finding, turn: Turn, agent: Agent, side: Side, phrase: str, place: Place
) -> Flag:
    return flag_of_turn(
        finding,
        turn,
        agent,
        found_by="moderation",
        at=turn.at,
        phrase=phrase,
        place=(place.begin_ms, place.end_ms),
        side=side,
    )


def _unanswered(whole: WholeCall, agent: Agent) -> Iterator[Flag]:
    """One flag for a call in which the agent did not know, time and again."""
    turns = [t for t in whole.turns if t.said and holds(t.heard, agent.unknown_answer)]
    if len(turns) >= UNANSWERED_TURNS:
        last = turns[UNANSWERED_TURNS - 1]  # the same one if the call goes on elsewhere
        finding = Finding("unanswered", "unanswered", "low", "flag", "")
        said = " / ".join(turn.said for turn in turns)
        yield _flag(finding, last, agent, "agent", said, caller_place(last))
