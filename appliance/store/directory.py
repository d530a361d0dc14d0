"""What a worker asks when a call comes: who answers this number?

Postgres is asked, but never waited for longer than a caller should wait for the answer: then the
last known agent of that number answers. What is known lies in memory and in a file, so that a
worker that starts while Postgres is away still answers every number it ever answered.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import orjson
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import Agent
from appliance.settings import Settings
from appliance.store.agents import (
    Assignment,
    agent_fields,
    load_assignment,
    load_assignments,
    parse_agent,
)
from appliance.store.models import ANY_DID

log = logging.getLogger(__name__)

FILE = "agents.json"
LOOKUP_LIMIT_S = 10.0
"""A look-up that nobody waits for any more is given up after this, and its connection closed."""
PREWARM_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0

_Database = (SQLAlchemyError, OSError, TimeoutError)


class NoAgentError(Exception):
    """Nobody answers this number: Postgres says so, or is away and the number is not known."""

    def __init__(self, did: str, reason: str) -> None:
        super().__init__(f"no agent answers {did}: {reason}")
        self.did = did


class Directory:
    """The agents by number, from Postgres or from memory. One per worker process."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        """Reads the file of known agents; ``engine`` may be one whose server is away."""
        self._engine = engine
        self._timeout_s = settings.worker.agent_timeout_ms / 1000
        self._file = settings.data_dir / FILE
        self._known: dict[str, Agent] = _read(self._file)
        self._late: asyncio.Task[Assignment | None] | None = None
        self._saving: asyncio.Task[None] | None = None

    async def agent_for(self, did: str) -> Agent:
        """Who answers ``did``, within ``worker.agent_timeout_ms``.

        Raises NoAgentError when there is none in Postgres, or Postgres is away and none is known.
        """
        try:
            found = await self._look_up(did)
        except (*_Database, UserError) as e:
            return self._last_known(did, _reason(e))
        self._remember(did, found)
        if found is None:
            raise NoAgentError(did, "the number is not assigned to a published agent")
        return found.agent

    async def all_agents(self) -> list[Agent]:
        """Every agent that answers some number, each once: what to warm up before the first call.

        From Postgres, which also teaches all the numbers; else the last known ones.
        """
        try:
            async with asyncio.timeout(PREWARM_TIMEOUT_S):
                assignments = await load_assignments(self._engine)
        except _Database as e:
            log.warning("! agents not read from Postgres (%s), using the last known", _reason(e))
        else:
            self._known = {a.did: a.agent for a in assignments}
            self._save()
        return list({agent.context: agent for agent in self._known.values()}.values())

    async def close(self) -> None:
        """Finish the file; give up a look-up that still hangs."""
        if self._saving is not None:
            await asyncio.wait({self._saving}, timeout=CLOSE_TIMEOUT_S)
        if self._late is not None and not self._late.done():
            self._late.cancel()
            await asyncio.wait({self._late}, timeout=CLOSE_TIMEOUT_S)
            self._late.cancel()  # the second one makes psycopg drop the connection at once

    async def _look_up(self, did: str) -> Assignment | None:
        if self._late is not None and not self._late.done():
            # one wait in vain is enough: the next calls do not queue behind a hanging server
            raise TimeoutError("Postgres still has not answered an earlier call")
        task = asyncio.create_task(self._ask(did))
        done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        if not done:
            # not cancelled, for that waits on the server too; its answer still counts when it comes
            self._late = task
            task.add_done_callback(lambda t: self._late_answer(did, t))
            raise TimeoutError(f"Postgres did not answer within {self._timeout_s * 1000:.0f} ms")
        return task.result()

    async def _ask(self, did: str) -> Assignment | None:
        async with asyncio.timeout(LOOKUP_LIMIT_S):
            return await load_assignment(self._engine, did)

    def _late_answer(self, did: str, task: asyncio.Task[Assignment | None]) -> None:
        if task.cancelled():
            return
        if error := task.exception():
            log.warning("! look-up of %s failed in the end: %s", did, _reason(error))
        else:
            self._remember(did, task.result())

    def _last_known(self, did: str, reason: str) -> Agent:
        agent = self._known.get(did) or self._known.get(ANY_DID)
        if agent is None:
            raise NoAgentError(did, f"{reason}, and no agent of it is known here")
        log.warning(
            "! %s: answering %s with the last known agent %s version %d",
            reason, did, agent.id, agent.version,
        )  # fmt: skip
        return agent

    def _remember(self, did: str, found: Assignment | None) -> None:
        before = dict(self._known)
        if found is None or found.did != did:
            self._known.pop(did, None)  # the number lost its own agent
        if found is None:
            self._known.pop(ANY_DID, None)  # or "*" would have been found
        else:
            self._known[found.did] = found.agent
        if self._known != before:
            self._save()

    def _save(self) -> None:
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save_until_same())

    async def _save_until_same(self) -> None:
        written: dict[str, Agent] | None = None
        while written != self._known:
            written = dict(self._known)
            try:
                await asyncio.to_thread(_write, self._file, written)
            except OSError as e:
                log.warning("! %s not written: %s", self._file, e)


def _reason(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


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
    with temporary.open("wb") as out:
        out.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
