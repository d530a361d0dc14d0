"""One engine server that this machine runs: kept, looked at, replaced when it hangs, drained."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import Enum

from appliance.ops.keeping.keeper import Keeper
from appliance.ops.keeping.look import look
from appliance.ops.keeping.program import Program

LOST_LOOKS = 3
"""A server silent for so many looks, one a second, is made up for by another."""
STEADY_LOOKS = 60
"""After so many answers an earlier death says nothing any more."""
HANG_LOOKS = 10
"""One that is silent for so many while its process lives is killed. Looks are counted, and not time:
after a pause of our own process, all would seem to have been silent for long."""


class Standing(Enum):
    """What can be counted on."""

    STARTING = "starting"
    """For the first time, or after one death: it counts, or each look would start another."""
    WARM = "warm"
    LOST = "lost"
    """It dies again and again, or is silent: its keeper goes on with it, nobody counts on it."""
    DRAINING = "draining"
    """It finishes what is under way, and ends."""


class Member:
    """One server, looked at once a second by its group."""

    def __init__(self, program: Program, output: Callable[[bytes], None]) -> None:
        self.keeper = Keeper(program, output)
        self.program = program
        self.standing = Standing.STARTING
        self.in_flight = 0
        """As of the last look."""
        self.capacity = 0
        """Uses at once; 0 until it says so."""
        self._pid: int | None = None
        self._answers = 0
        """Of this process, that it is warm."""
        self._deaths = 0
        """Since it was last steady."""
        self._silent = 0
        """Looks in a row that were not answered."""

    @property
    def port(self) -> int:
        return self.program.addresses[0].port

    @property
    def counts(self) -> bool:
        """Whether it carries load, or will after its warm-up."""
        return self.standing in (Standing.STARTING, Standing.WARM)

    async def look(self) -> float | None:
        """Look at it once. When it has just warmed up: the seconds from its start."""
        if self._is_another_process() or self._pid is None:
            return None
        address = self.program.addresses[0]
        seen = await look(address.host, address.port, self.program.key())
        if self._is_another_process() or self.standing is Standing.DRAINING:
            if seen is not None:
                self.in_flight = seen.in_flight
            return None
        if seen is None:
            self._missed()
            return None
        self._silent, self.in_flight = 0, seen.in_flight
        self.capacity = seen.capacity or self.capacity
        if not seen.warm:
            return None
        self.standing = Standing.WARM
        self._answers += 1
        if self._answers >= STEADY_LOOKS:
            self._deaths = 0
        return time.monotonic() - self.keeper.spawned_s if self._answers == 1 else None

    def _is_another_process(self) -> bool:
        """Whether it was started again since the last look, or is not there."""
        if self.keeper.pid == self._pid:
            return False
        if self._pid is not None and self.standing is not Standing.DRAINING:
            self._deaths += 1
            again = self._deaths > 1 or not self._answers
            self.standing = Standing.LOST if again else Standing.STARTING
        self._pid, self._silent, self._answers = self.keeper.pid, 0, 0
        self.in_flight = 0
        return True

    def _missed(self) -> None:
        self._silent += 1
        if not self._answers:
            limit_s = self.program.start_timeout_s
            if time.monotonic() - self.keeper.spawned_s > limit_s:
                self.keeper.replace(f"did not answer in the {limit_s:g} s that it has to start")
            return
        if self._silent >= LOST_LOOKS:
            self.standing, self.in_flight = Standing.LOST, 0
        if self._silent >= HANG_LOOKS:
            self.keeper.replace(f"was silent {self._silent} times in a row")

    async def drain(self, at_once: asyncio.Event) -> None:
        """End it: it takes nothing new, finishes what is under way, and is gone."""
        self.standing = Standing.DRAINING
        await self.keeper.stop(at_once)
