"""What a worker asks when a call comes: who answers this number, or: who is this agent?

Postgres is asked, but never waited for longer than a caller should wait for the answer: then the
last known agent of that number (or of that id) answers. What is known lies in memory and in a file,
so that a worker that starts while Postgres is away still answers every number it ever answered.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError, reason_of
from appliance.events import Agent
from appliance.numbers import candidates
from appliance.settings import Settings
from appliance.store.agents import (
    Assignment,
    agent_fields,
    load_agent,
    load_agents,
    load_assignment,
    load_assignments,
    parse_agent,
)
from appliance.store.drafts import load_draft
from appliance.store.models import ANY_DID

log = logging.getLogger(__name__)

FILE = "agents.json"
LOOKUP_LIMIT_S = 10.0
"""A look-up that nobody waits for any more is given up after this, and its connection closed."""
PREWARM_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0

AGENT_KEY = "agent "
"""Before an agent's id, among the numbers; no number holds a space."""

T = TypeVar("T")
_Database = (SQLAlchemyError, OSError, TimeoutError)


class NoAgentError(Exception):
    """Nobody answers this number (or: there is no such agent): Postgres says so, or is away and
    nobody is known here."""

    def __init__(self, did: str, reason: str) -> None:
        who = did.removeprefix(AGENT_KEY)
        text = f"there is no agent {who}" if who != did else f"no agent answers {did}"
        super().__init__(f"{text}: {reason}")
        self.did = did


class Directory:
    """The agents by number, from Postgres or from memory. One per worker process."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        """Reads the file of known agents; ``engine`` may be one whose server is away."""
        self._engine = engine
        self._country = settings.switch.country
        self._timeout_s = settings.worker.agent_timeout_ms / 1000
        self._file = settings.data_dir / FILE
        self._known: dict[str, Agent] = _read(self._file)
        self._hanging: set[asyncio.Task[Any]] = set()
        self._saving: asyncio.Task[None] | None = None

    async def agent_for(self, did: str) -> Agent:
        """Who answers ``did``, within ``worker.agent_timeout_ms``.

        Raises NoAgentError when there is none in Postgres, or Postgres is away and none is known.
        """

        async def look_up() -> Assignment | None:
            found = await load_assignment(self._engine, did, self._country)
            self._remember(did, found)  # also when it comes too late for this call
            return found

        try:
            found = await self._promptly(look_up)
        except (*_Database, UserError) as e:
            return self._last_known(did, [*candidates(did, self._country), ANY_DID], reason_of(e))
        if found is None:
            raise NoAgentError(did, "the number is not assigned to a published agent")
        return found.agent

    async def agent_by_id(self, agent_id: str, version: int = 0) -> Agent:
        """The agent ``agent_id`` in ``version`` (0: its latest), as quickly as :meth:`agent_for`.

        Without Postgres it is the last known version. Raises NoAgentError when there is none.
        """
        key = AGENT_KEY + agent_id

        async def look_up() -> Agent | None:
            found = await load_agent(self._engine, agent_id, version)
            if found is not None and not version:
                self._learn(self._known | {key: found})
            return found

        try:
            found = await self._promptly(look_up)
        except (*_Database, UserError) as e:
            keys = [key, *(k for k, agent in self._known.items() if agent.id == agent_id)]
            return self._last_known(key, keys, reason_of(e))
        if found is None:
            raise NoAgentError(key, "no version of it is published")
        return found

    async def draft_of(self, agent_id: str) -> Agent:
        """The draft of ``agent_id`` as it stands, for whoever tries it; it is kept for nobody else.

        Raises NoAgentError when there is none, when it is no whole agent yet, or Postgres is away.
        """
        key = AGENT_KEY + agent_id
        try:
            found = await self._promptly(lambda: load_draft(self._engine, agent_id))
        except (*_Database, UserError) as e:
            raise NoAgentError(key, f"its draft cannot be used: {reason_of(e)}") from e
        if found is None:
            raise NoAgentError(key, "it has no draft")
        return found

    async def _promptly(self, look_up: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer to a look-up that a caller waits for."""
        if self._hanging:
            # one wait in vain is enough: the next calls do not queue behind a hanging server
            raise TimeoutError("Postgres still has not answered an earlier call")
        return await self._within(self._timeout_s, look_up())

    async def all_agents(self) -> list[Agent]:
        """Every published agent, each once: what to warm up before the first call. One without a
        number may be chosen by a menu, or speak in calls that we make.

        From Postgres, which also teaches all the numbers; else the last known ones.
        """

        async def read_all() -> None:
            known = {a.did: a.agent for a in await load_assignments(self._engine)}
            agents = await load_agents(self._engine)
            self._learn(known | {AGENT_KEY + agent.id: agent for agent in agents})

        try:
            await self._within(PREWARM_TIMEOUT_S, read_all())
        except _Database as e:
            log.warning("! agents not read from Postgres (%s), using the last known", reason_of(e))
        return list({agent.context: agent for agent in self._known.values()}.values())

    async def close(self) -> None:
        """Finish the file; give up a look-up that still hangs."""
        for _ in range(2):  # the second cancel makes psycopg drop the connection at once
            for task in self._hanging:
                task.cancel()
            if self._hanging:
                await asyncio.wait(set(self._hanging), timeout=CLOSE_TIMEOUT_S)
        if self._saving is not None:
            await asyncio.wait({self._saving}, timeout=CLOSE_TIMEOUT_S)

    async def _within(self, timeout_s: float, work: Coroutine[Any, Any, T]) -> T:
        """Wait ``timeout_s`` for ``work`` and not a moment more; then it goes on by itself.

        A timeout that cancels would not do: psycopg waits for the server to agree to it.
        """

        async def limited() -> T:
            async with asyncio.timeout(LOOKUP_LIMIT_S):
                return await work

        task = asyncio.create_task(limited())
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        except asyncio.CancelledError:  # the caller has hung up
            self._let_go(task)
            raise
        if done:
            return task.result()
        self._let_go(task)
        raise TimeoutError(f"Postgres did not answer within {timeout_s * 1000:.0f} ms")

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        self._hanging.add(task)
        task.add_done_callback(self._came_late)

    def _came_late(self, task: asyncio.Task[Any]) -> None:
        self._hanging.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("! a look-up that nobody waited for has failed: %s", reason_of(error))

    def _last_known(self, asked: str, keys: Sequence[str], reason: str) -> Agent:
        agent = next((self._known[key] for key in keys if key in self._known), None)
        if agent is None:
            raise NoAgentError(asked, f"{reason}, and no agent of it is known here")
        log.warning(
            "! %s: answering %s with the last known agent %s version %d",
            reason, asked, agent.id, agent.version,
        )  # fmt: skip
        return agent

    def _remember(self, did: str, found: Assignment | None) -> None:
        known = dict(self._known)
        for form in candidates(did, self._country):
            if found is None or found.did != form:
                known.pop(form, None)  # the number lost its own agent
        if found is None:
            known.pop(ANY_DID, None)  # or "*" would have been found
        else:
            known[found.did] = found.agent
        self._learn(known)

    def _learn(self, known: dict[str, Agent]) -> None:
        if known != self._known:
            self._known = known
            self._save()

    def _save(self) -> None:
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save_until_same())

    async def _save_until_same(self) -> None:
        written: dict[str, Agent] | None = None
        while written != self._known:
            written = self._known
            try:
                await asyncio.to_thread(_write, self._file, written)
            except OSError as e:
                log.warning("! %s not written: %s", self._file, e)


def _read(file: Path) -> dict[str, Agent]:
    try:
        rows = orjson.loads(file.read_bytes())
        return {str(did): parse_agent(fields) for did, fields in rows.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError, UserError) as e:
        log.warning("! %s cannot be read, starting with no known agent: %s", file, e)
        return {}


def _write(file: Path, agents: dict[str, Agent]) -> None:
    rows = {did: agent_fields(agent) for did, agent in agents.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with open(temporary, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
        out.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
