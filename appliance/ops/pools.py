"""``ivr pools``: the engine servers of this machine, as many as plan and load want.

The same pools run inside ``ivr up``. A worker knows every place (port) where a server may be and
takes those that do not run for down, so nothing needs to tell it what was started or stopped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance import readiness
from appliance.capacity.share import share
from appliance.capacity.warmups import WarmUps
from appliance.checkpoints.presence import require
from appliance.errors import UserError
from appliance.metrics.looplag import LoopLag
from appliance.ops import poolstatus
from appliance.ops.keeping.groups import Group, engine_groups, servers
from appliance.ops.keeping.keeper import Keeper
from appliance.ops.keeping.servergroup import ServerGroup, Steps
from appliance.ops.keeping.stopping import Stop, unless_stopped
from appliance.ops.planner import Planner
from appliance.ops.processes import check_addresses
from appliance.ops.telling import metrics_port
from appliance.settings import Settings
from appliance.telemetry import pass_on

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class EnginePools:
    """Every stage's servers on this machine."""

    def __init__(
        self,
        settings: Settings,
        groups: Sequence[Group],
        tasks: asyncio.TaskGroup,
        output: Callable[[bytes], None],
        *,
        makes_plan: bool = True,
    ) -> None:
        """``makes_plan``: else the plan that another process writes is followed."""
        self._makes_plan = makes_plan
        self._settings = settings
        self._tasks = tasks
        self._planner = Planner(settings)
        warm_ups = WarmUps(settings.data_dir)
        idle_s = settings.capacity.idle_s
        self.groups = [ServerGroup(group, idle_s, warm_ups, tasks, output) for group in groups]
        self._background: list[asyncio.Task[None]] = []

    def begin(self) -> list[Keeper]:
        """Start what runs always, and follow plan and load from now on."""
        keepers = [keeper for group in self.groups for keeper in group.begin()]
        self._background = [self._tasks.create_task(self._run())]
        if self._makes_plan:
            self._background.append(self._tasks.create_task(self._planner.run()))
        return keepers

    async def close(self, at_once: asyncio.Event) -> None:
        """End all servers together: each drains, unless ``at_once``."""
        for task in self._background:
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)
        await asyncio.gather(*(group.close(at_once) for group in self.groups))
        await asyncio.to_thread(poolstatus.forget, self._settings)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the servers that run."""
        members = [member for group in self.groups for member in group.members]
        return {m.program.name: m.keeper.pid for m in members if m.keeper.pid is not None}

    async def _run(self) -> None:
        while True:
            began_s = time.monotonic()
            try:
                await self._turn()
            except Exception:  # the border of a job: what runs goes on, and is looked at again
                _log.exception("! the pools were not looked after")
            await asyncio.sleep(max(0.0, LOOK_EVERY_S - (time.monotonic() - began_s)))

    async def _turn(self) -> None:
        await asyncio.gather(*(group.look() for group in self.groups))
        now_s = time.time()
        for group, steps in self._planned():
            group.scale(now_s, steps)
        await asyncio.to_thread(poolstatus.write, self._settings, now_s, self.groups)

    def _planned(self) -> list[tuple[ServerGroup, Steps]]:
        """Each group with its part of its stage's plan."""
        found: list[tuple[ServerGroup, Steps]] = []
        for stage in dict.fromkeys(group.group.stage for group in self.groups):
            kin = [group for group in self.groups if group.group.stage == stage]
            bounds = [(group.group.run.least, group.group.run.most) for group in kin]
            parts = [(at, share(count, bounds)) for at, count in self._planner.steps(stage)]
            found += [
                (group, [(at, counts[position]) for at, counts in parts])
                for position, group in enumerate(kin)
            ]
        return found


@dataclass(frozen=True, slots=True)
class Options:
    """How ``ivr pools`` was called."""

    stages: tuple[str, ...] = ()
    """Only these; empty: all."""
    makes_plan: bool = True


def run(settings: Settings, options: Options) -> None:
    """Run the engine servers of this machine until SIGTERM, SIGINT or SIGHUP.

    Raises UserError when those that run always do not come up; nothing is left running then.
    """
    asyncio.run(_run(settings, options))


async def _run(settings: Settings, options: Options) -> None:
    require(settings)
    groups = _chosen(engine_groups(settings), options.stages)
    check_addresses(servers(groups))
    stop = Stop("what is under way")
    failure: UserError | None = None
    async with asyncio.TaskGroup() as tasks:
        pools = EnginePools(settings, groups, tasks, pass_on, makes_plan=options.makes_plan)
        lag = LoopLag()
        looking = tasks.create_task(lag.run())
        metrics = metrics_port(settings, "pools", list, pools.groups, lag)
        metrics.open(settings.metrics.pools_port)
        beating = tasks.create_task(readiness.watchdog())
        try:
            keepers = pools.begin()
            # a large model takes minutes: workers wait for what they need, and for no more
            readiness.ready(f"{len(keepers)} engine servers start")
            if await unless_stopped(stop, _all_healthy(keepers)):
                _log.info("= %d engine servers are up", len(pools.pids))
                readiness.status(f"{len(pools.pids)} engine servers are up")
                await stop.asked.wait()
        except UserError as e:
            failure = e
        readiness.stopping()
        await pools.close(stop.at_once)
        looking.cancel()
        await asyncio.to_thread(metrics.close)
        beating.cancel()
    if failure:
        raise failure


def _chosen(groups: tuple[Group, ...], stages: tuple[str, ...]) -> tuple[Group, ...]:
    known = dict.fromkeys(group.stage for group in groups)
    if unknown := [stage for stage in stages if stage not in known]:
        raise UserError(
            f"Nothing of the stage {unknown[0]!r} runs on this machine: engines.{unknown[0]}.run is"
            f" empty, or there is no such stage. There are {', '.join(known) or 'none'}."
        )
    if not groups:  # it stays: a box whose engines are all elsewhere comes up as any other does
        _log.info("= no engine server is to run on this machine: engines.<stage>.run is empty")
    return tuple(group for group in groups if not stages or group.stage in stages)


async def _all_healthy(keepers: list[Keeper]) -> None:
    for keeper in keepers:
        await keeper.healthy()
