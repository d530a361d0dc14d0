"""The servers of one kind on this machine, kept at the wanted number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from appliance.capacity.policy import wanted
from appliance.capacity.warmups import WarmUps
from appliance.ops.keeping.groups import Group
from appliance.ops.keeping.keeper import Keeper
from appliance.ops.keeping.member import Member, Standing

_log = logging.getLogger(__name__)

Steps = Sequence[tuple[float, int]]
"""Of a plan: (from unix seconds, servers)."""


class ServerGroup:
    """The servers of one :class:`Group`, each on the place (port) that is its own."""

    def __init__(
        self,
        group: Group,
        idle_s: float,
        warm_ups: WarmUps,
        tasks: asyncio.TaskGroup,
        output: Callable[[bytes], None],
    ) -> None:
        self.group = group
        self.wanted = group.run.least
        self._idle_s = idle_s
        self._warm_ups = warm_ups
        self._tasks = tasks
        self._output = output
        self._members: dict[int, Member] = {}
        """By place."""
        self._policy_state: Mapping[str, Any] = {}
        self._capacity = 0

    @property
    def members(self) -> list[Member]:
        """Those that run, in the order of their places."""
        return [member for _, member in sorted(list(self._members.items()))]

    @property
    def in_flight(self) -> int:
        """Of all servers, as of the last look; what drains has to go on elsewhere."""
        return sum(member.in_flight for member in list(self._members.values()))

    @property
    def capacity(self) -> int:
        """Uses at once of one server, as the settings or else the servers say; 0: not known."""
        return self.group.capacity or max((m.capacity for m in self._members.values()), default=0)

    def begin(self) -> list[Keeper]:
        """Start those that run always."""
        return [self._start(place).keeper for place in range(self.group.run.least)]

    async def look(self) -> None:
        """Look at every server once."""
        for seconds in await asyncio.gather(*(member.look() for member in self._members.values())):
            if seconds is not None:
                self._warm_ups.add(self.group.stage, seconds)
                _log.info("= %s: a server is warm after %.1f s", self.group.name, seconds)

    def scale(self, now_s: float, steps: Steps) -> None:
        """Start or stop servers, as plan and load want it. ``now_s``: unix seconds."""
        run = self.group.run
        if not run.most - run.least and len(self._members) == run.most:
            return
        counted = [member for member in self._members.values() if member.counts]
        before = self.wanted
        self._capacity = self.capacity or self._capacity
        self.wanted, self._policy_state = wanted(
            now_s,
            steps,
            len(counted),
            self.in_flight,
            # Nothing known yet: one server is enough for what runs, so only the plan asks for more.
            self._capacity or max(1, self.in_flight) * 2,
            run.least,
            run.most,
            self._warm_ups.seconds(self.group.stage, self.group.warm_up_s),
            self._idle_s,
            self._policy_state,
        )
        if self.wanted != before:
            text = "= %s: %d servers wanted, %d in flight"
            _log.info(text, self.group.name, self.wanted, self.in_flight)
        self._start_more(self.wanted - len(counted))
        if len(counted) >= self.wanted:
            self._stop_some()

    def _start_more(self, count: int) -> None:
        free = [place for place in range(self.group.run.most) if place not in self._members]
        for place in free[: max(0, count)]:
            self._start(place)

    def _start(self, place: int) -> Member:
        member = self._members[place] = Member(self.group.programs[place], self._output)
        self._tasks.create_task(member.keeper.keep())
        return member

    def _stop_some(self) -> None:
        """All above the wanted number: the lost first, then those that are not warm yet, then those
        with the least to do, of equal ones the last."""
        worth = {Standing.WARM: 0, Standing.STARTING: 1, Standing.LOST: 2}
        live = sorted(
            (worth[member.standing], -member.in_flight, place)
            for place, member in self._members.items()
            if member.standing is not Standing.DRAINING
        )
        for _, _, place in live[self.wanted :]:
            self._members[place].standing = Standing.DRAINING
            self._tasks.create_task(self._drain(place, asyncio.Event()))

    async def _drain(self, place: int, at_once: asyncio.Event) -> None:
        if (member := self._members.get(place)) is not None:
            await member.drain(at_once)
            self._members.pop(place, None)

    async def close(self, at_once: asyncio.Event) -> None:
        """Drain all; ``at_once`` cuts that short."""
        await asyncio.gather(*(self._drain(place, at_once) for place in list(self._members)))
