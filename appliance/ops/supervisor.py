"""``ivr up``: the whole appliance on one machine, as children of one process.

Started in the order of their dependence, ended in the opposite one, so that live calls finish on
servers that are still there. Whatever ends this process, the kernel ends the children (child.py).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import click
from sqlalchemy.exc import SQLAlchemyError

from appliance import readiness
from appliance.checkpoints.presence import require
from appliance.errors import UserError
from appliance.metrics.looplag import LoopLag
from appliance.ops import announcement
from appliance.ops.keeping.keeper import Keeper
from appliance.ops.keeping.program import Program
from appliance.ops.keeping.stopping import Stop, unless_stopped
from appliance.ops.pools import EnginePools
from appliance.ops.processes import Plan, check_addresses, plan
from appliance.ops.seed import seed
from appliance.ops.telling import metrics_port
from appliance.settings import Settings
from appliance.store.agents import Assignment, load_assignments
from appliance.store.database import database_url, explain, migrate, open_engine
from appliance.telemetry import pass_on

_log = logging.getLogger(__name__)

SEED_TIMEOUT_S = 120.0
"""Embedding the sample takes two seconds; a first start on a busy machine, longer."""
QUERY_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 90.0
"""After the last call: everything else ends, one after another."""


@dataclass(frozen=True, slots=True)
class Options:
    """How ``ivr up`` was called."""

    seed: bool = True
    as_json: bool = False


def run(settings: Settings, options: Options) -> None:
    """Run the appliance until SIGTERM, SIGINT or SIGHUP; a second SIGINT stops it at once.

    Raises UserError when it does not come up; nothing is left running then.
    """
    asyncio.run(_run(settings, options))


async def _run(settings: Settings, options: Options) -> None:
    require(settings)
    planned = plan(settings)
    check_addresses(planned.programs)
    stop = Stop("the last call")
    failure: UserError | None = None
    async with asyncio.TaskGroup() as tasks:
        site = Site(settings, planned, tasks)
        beating = tasks.create_task(readiness.watchdog())
        try:
            if await unless_stopped(stop, site.open(options.seed)):
                assignments = await _numbers(settings)
                words = announcement.as_json if options.as_json else announcement.as_text
                click.echo(words(settings, assignments, site.pids))
                readiness.ready("calls are answered")
                await stop.asked.wait()
        except UserError as e:
            failure = e
        readiness.stopping("live calls finish")
        readiness.extend(settings.worker.drain_timeout_s + CLOSE_TIMEOUT_S)
        await site.close(stop.at_once)
        beating.cancel()
    if failure:
        raise failure


class Site:
    """The running appliance: one keeper a child, and the pools of engine servers."""

    def __init__(self, settings: Settings, planned: Plan, tasks: asyncio.TaskGroup) -> None:
        self.settings = settings
        self.plan = planned
        self._tasks = tasks
        self.keepers: list[Keeper] = []
        self._saying: list[asyncio.Task[None]] = []
        self.pools = EnginePools(settings, planned.engines, tasks, pass_on)
        self._lag = LoopLag()
        self._looking: asyncio.Task[None] | None = None
        self._metrics = metrics_port(
            settings, "up", lambda: self.keepers, self.pools.groups, self._lag
        )

    async def open(self, with_seed: bool) -> None:
        """Start everything and wait until calls are answered. Raises UserError."""
        self._metrics.open(self.settings.metrics.up_port)
        self._looking = self._tasks.create_task(self._lag.run())
        database = self._begin(self.plan.database)
        engines = self.pools.begin()  # they load while Postgres starts
        await _all_healthy(database)
        url = database_url(self.settings)
        await asyncio.to_thread(migrate, url)
        await _all_healthy(engines)
        if with_seed:
            await _seed(self.settings)
        await _all_healthy(self._begin((self.plan.worker,)))
        await _all_healthy(self._begin((self.plan.sip,)))
        self._saying = [
            self._tasks.create_task(_say_when_up(keeper))
            for keeper in self._begin((*self.plan.redis, *self.plan.jobs, *self.plan.console))
        ]

    async def close(self, at_once: asyncio.Event) -> None:
        """End everything, the endpoint first; engines all together, Postgres last."""
        for saying in self._saying:
            saying.cancel()
        if self._looking is not None:
            self._looking.cancel()
        await asyncio.gather(
            self._end((self.plan.sip,), at_once),
            self._end((*self.plan.jobs, *self.plan.console), at_once),
        )
        await self._end(self.plan.redis, at_once)
        await self._end((self.plan.worker,), at_once)
        await self.pools.close(at_once)
        await self._end(self.plan.database, at_once)
        if self.plan.postgres is not None:
            await asyncio.to_thread(self.plan.postgres.stop)  # lets go of the cluster
        await asyncio.to_thread(self._metrics.close)
        _log.info("= stopped")

    async def _end(self, programs: tuple[Program, ...], at_once: asyncio.Event) -> None:
        names = {program.name for program in programs}
        ending = [keeper for keeper in self.keepers if keeper.program.name in names]
        await asyncio.gather(*(keeper.stop(at_once) for keeper in ending))

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the children that run."""
        ours = {k.program.name: k.pid for k in self.keepers if k.pid is not None}
        return ours | self.pools.pids

    def _begin(self, programs: tuple[Program, ...]) -> list[Keeper]:
        keepers = [Keeper(program, pass_on) for program in programs]
        self.keepers += keepers
        for keeper in keepers:
            self._tasks.create_task(keeper.keep())
        return keepers


async def _all_healthy(keepers: list[Keeper]) -> None:
    for keeper in keepers:
        await keeper.healthy()


async def _say_when_up(keeper: Keeper) -> None:
    """Of a child that no call needs: its keeper goes on trying, whatever this says."""
    try:
        await keeper.healthy()
    except UserError as e:
        _log.error("! %s", e)


async def _seed(settings: Settings) -> None:
    try:
        async with asyncio.timeout(SEED_TIMEOUT_S):
            await seed(settings)
    except TimeoutError as e:
        raise UserError(
            f"The sample was not loaded in {SEED_TIMEOUT_S:.0f} s. Try again, or start with"
            " --no-seed and run `ivr seed` later."
        ) from e


async def _numbers(settings: Settings) -> list[Assignment]:
    url = database_url(settings)
    engine = open_engine(url, connect_timeout_s=settings.database.connect_timeout_s, pool_size=1)
    try:
        async with asyncio.timeout(QUERY_TIMEOUT_S):
            return await load_assignments(engine)
    except (SQLAlchemyError, OSError) as e:  # TimeoutError is an OSError
        raise UserError(explain(url, e)) from e
    finally:
        await engine.dispose()
