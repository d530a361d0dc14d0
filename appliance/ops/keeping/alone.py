"""One program by itself in the foreground: ``ivr postgres``, ``ivr redis``, as a unit runs them."""

from __future__ import annotations

import asyncio

from appliance import readiness
from appliance.errors import UserError
from appliance.ops.keeping.keeper import Keeper
from appliance.ops.keeping.program import Program
from appliance.ops.keeping.stopping import Stop, unless_stopped
from appliance.telemetry import pass_on

MARGIN_S = 10.0


def run(program: Program) -> None:
    """Run ``program`` until SIGTERM, SIGINT or SIGHUP, and start it again when it ends before.

    Raises UserError, with its last words, when it does not come up at all.
    """
    asyncio.run(_run(program))


async def _run(program: Program) -> None:
    stop = Stop("the server")
    keeper = Keeper(program, pass_on)
    failure: UserError | None = None
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(readiness.watchdog())
        tasks.create_task(keeper.keep())
        try:
            if await unless_stopped(stop, keeper.healthy()):
                readiness.ready(f"{program.name} answers")
                await stop.asked.wait()
        except UserError as e:
            failure = e
        readiness.stopping()
        readiness.extend(program.stop_timeout_s + MARGIN_S)
        await keeper.stop(stop.at_once)
        beating.cancel()
    if failure:
        raise failure
