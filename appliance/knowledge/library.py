"""The knowledge versions that a worker holds: mapped from copies on its disk, made where they lack."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import reason_of
from appliance.knowledge.copies import copy_file, map_copy, pack, write_copy
from appliance.knowledge.copying import copy_apart
from appliance.knowledge.memory import Memory
from appliance.store.passages import read, stamp_of

PRELOAD_TIMEOUT_S = 10.0
MOST_VERSIONS = 64
"""Versions held; the one longest unused goes first."""
APART_FROM = 2000
"""From so many passages on the copy is made in a process of its own: of fewer it takes 0.1 s."""

_log = logging.getLogger(__name__)


class Library:
    """What is held of versions. Those of a large base are a file, mapped: all workers share it."""

    def __init__(self, engine: AsyncEngine, copies: Path | None) -> None:
        self._engine = engine
        self._copies = copies
        self._held: dict[tuple[str, int], Memory] = {}

    def get(self, knowledge: str, version: int) -> Memory | None:
        """A version that is held."""
        memory = self._held.pop((knowledge, version), None)
        if memory:
            self._held[knowledge, version] = memory  # now the one used last
        return memory

    async def load(self, knowledge: str, version: int) -> bool:
        """Hold a version; with Postgres away from the copy on disk. Whether it is held."""
        if (knowledge, version) in self._held:
            return True
        try:
            async with asyncio.timeout(PRELOAD_TIMEOUT_S):
                count, stamp = await stamp_of(self._engine, knowledge, version)
        except (SQLAlchemyError, OSError, TimeoutError) as e:
            held = self.recall(knowledge, version)
            how = "from its copy on disk" if held else "not to be had"
            _log.warning(
                "! Postgres is away: knowledge %s %d %s: %s", knowledge, version, how, reason_of(e)
            )
            return held
        memory = self._copy(knowledge, version)
        if memory is None or memory.stamp != stamp:
            try:
                memory = await self._make(knowledge, version, count, stamp)
            except (SQLAlchemyError, OSError, TimeoutError) as e:
                _log.warning("! knowledge %s %d: %s", knowledge, version, reason_of(e))
        return self._hold(knowledge, version, memory)

    def recall(self, knowledge: str, version: int) -> bool:
        """Hold a version from the copy on disk; False when there is none."""
        return self._hold(knowledge, version, self._copy(knowledge, version))

    async def _make(self, knowledge: str, version: int, count: int, stamp: str) -> Memory | None:
        file = copy_file(self._copies, knowledge, version) if self._copies else None
        if file and count >= APART_FROM:
            if not await copy_apart(self._engine, knowledge, version, stamp, file):
                return None
            return self._copy(knowledge, version)
        async with asyncio.timeout(PRELOAD_TIMEOUT_S):
            passages = await read(self._engine, knowledge, version)
        memory = await asyncio.to_thread(Memory, passages, stamp)
        if file and passages:
            await asyncio.to_thread(write_copy, file, pack(memory.parts))
        return memory

    def _copy(self, knowledge: str, version: int) -> Memory | None:
        if not self._copies:
            return None
        parts = map_copy(copy_file(self._copies, knowledge, version))
        try:
            return Memory.of(parts) if parts else None
        except (KeyError, TypeError, ValueError) as e:
            _log.info("= the copy of knowledge %s %d is of no use: %s", knowledge, version, e)
            return None

    def _hold(self, knowledge: str, version: int, memory: Memory | None) -> bool:
        if memory is None:
            return False
        while len(self._held) >= MOST_VERSIONS:
            del self._held[next(iter(self._held))]
        self._held[knowledge, version] = memory
        return True
