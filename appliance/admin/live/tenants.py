"""Whose an agent is, remembered for some seconds: each view of a live call asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.store.tenancy import tenants_of_agents

log = logging.getLogger(__name__)

EVERY_S = 5.0
SOONEST_S = 0.5
"""After the last look, for an agent that was not known then."""
TIMEOUT_S = 5.0


class Tenants:
    """Agent → tenant. An agent that is not known is the operator's alone until it is."""

    def __init__(self, engine: AsyncEngine, changed: Callable[[], None]) -> None:
        """``changed``: called when calls may have become somebody's, or somebody else's."""
        self._engine = engine
        self._changed = changed
        self._known: dict[str, str] = {}
        self._asked: set[str] = set()
        """In vain since the last look; those are few: the agents of live calls."""
        self._missing: set[str] = set()
        """Not there at the last look: nobody hurries for them again."""
        self._wanted = asyncio.Event()

    def of(self, agent_id: str) -> str | None:
        """The tenant of ``agent_id``, as far as is known."""
        found = self._known.get(agent_id)
        if found is None and agent_id and agent_id not in self._missing:
            self._asked.add(agent_id)
            self._wanted.set()
        return found

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(SOONEST_S)
            try:
                async with asyncio.timeout(EVERY_S - SOONEST_S):
                    await self._wanted.wait()
            except TimeoutError:
                self._missing.clear()

    async def refresh(self) -> None:
        """Look now. With Postgres away, what was known holds."""
        self._wanted.clear()
        try:
            async with asyncio.timeout(TIMEOUT_S), self._engine.connect() as connection:
                known = await tenants_of_agents(connection)
        except (SQLAlchemyError, OSError, TimeoutError) as e:
            log.debug("! tenants cannot be read: %s", e)
            return
        self._missing |= self._asked - known.keys()
        self._asked.clear()
        before, self._known = self._known, known
        if before != known:
            self._changed()
