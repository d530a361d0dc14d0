"""A replica of Ray Serve: one engine server, run in the environment that its engine needs.

Serve decides on which machine a replica lives and how many there are; the replica starts its engine
server there, on a free port of that machine's address, restarts it when it dies or hangs, and tells
the board where it is. When it cannot keep it, it fails its health check, and Serve puts another
replica in its place, on another machine if need be.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from typing import Any

from appliance.capacity.roster import Entry
from appliance.capacity.servepolicy import CAPACITY, IN_FLIGHT
from appliance.errors import UserError
from appliance.ops.keeping.groups import engine_program, key_once, sections
from appliance.ops.keeping.member import Member, Standing
from appliance.ops.keeping.ports import free_port
from appliance.settings import Place, Run, load

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
TELL_TIMEOUT_S = 2.0
LEAVE_S = 2.0
"""From the board to the workers: the driver looks twice a second, they ask once. Only then does the
server stop taking work, so that hardly anybody finds its door closed."""


class Replica:
    """The class of every deployment; Serve calls its methods."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it: a replica is up when it is warm
        self, pool: str, stage: str, run: dict[str, Any], scheme: str, warm_up_s: float, host: str
    ) -> None:
        """Start the engine server and wait until it is warm. Raises UserError, with its last words.

        ``run`` has the fields of :class:`appliance.settings.Run`; ``host`` is where the server
        listens, empty: the address of the machine that this replica came to.
        """
        from ray import serve

        host = host or await asyncio.to_thread(_own_address)
        self._pool, self._stage = pool, stage
        self._id = serve.get_replica_context().replica_id.unique_id
        self._node = host
        port = free_port(host)
        self._url = f"{scheme}://{host}:{port}"
        place = Place(Run.model_validate(run), 0, port)
        settings = load()
        key = key_once(settings, dict(sections(settings))[stage])
        program = engine_program(stage, 0, place, host=host, warm_up_s=warm_up_s, key=key)
        self._patience_s = program.start_timeout_s
        self._member = Member(program, _pass_on)
        self._warm_s = time.monotonic()
        """When it was last seen warm."""
        self._board: Any = None
        self._keeping = asyncio.create_task(self._member.keeper.keep())
        try:
            await self._member.keeper.healthy()
        except UserError:
            await self._end(at_once=True)
            raise
        self._watching = asyncio.create_task(self._watch())

    async def check_health(self) -> None:
        """For Serve: whether this replica still has a server worth keeping. Raises RuntimeError."""
        if self._keeping.done() or self._watching.done():
            raise RuntimeError(f"the keeper of {self._url} has ended")
        silent_s = time.monotonic() - self._warm_s
        if silent_s > self._patience_s:
            raise RuntimeError(f"{self._url} has not been warm for {silent_s:.0f} s")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For Serve's autoscaling policy: what the server has under way, and can have."""
        return {IN_FLIGHT: self._member.in_flight, CAPACITY: self._member.capacity}

    async def __del__(self) -> None:
        """For Serve, which awaits it when it takes a replica away: drain."""
        with contextlib.suppress(AttributeError):  # never came up
            self._watching.cancel()
            await self._tell_board("leave", self._id)
            await asyncio.sleep(LEAVE_S)
            await self._end(at_once=False)

    async def _end(self, *, at_once: bool) -> None:
        hurry = asyncio.Event()
        if at_once:
            hurry.set()
        await self._member.drain(hurry)
        await self._keeping

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:  # the border of a job: the server runs on
                _log.exception("! %s was not looked after", self._url)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        await self._member.look()
        warm = self._member.standing is Standing.WARM
        if warm:
            self._warm_s = time.monotonic()
        entry = Entry(
            self._pool,
            self._stage,
            self._url,
            warm,
            self._member.in_flight,
            self._member.capacity,
            self._node,
            self._member.keeper.pid or 0,
        )
        await self._tell_board("tell", self._id, entry)

    async def _tell_board(self, method: str, *words: Any) -> None:
        """Tell the board; without one the server runs on, and is told of when there is one again."""
        from appliance.capacity import cluster

        try:
            if self._board is None:
                self._board = await asyncio.to_thread(cluster.find_board)
            async with asyncio.timeout(TELL_TIMEOUT_S):
                await getattr(self._board, method).remote(*words)
        except Exception as e:  # whatever Ray raises for an actor that is not there
            self._board = None
            _log.debug("! the board was not told: %s", e)


def _own_address() -> str:
    """Of the machine that this replica is on, as the cluster knows it."""
    import ray

    own = ray.get_runtime_context().get_node_id()
    return next(str(n["NodeManagerAddress"]) for n in ray.nodes() if n["NodeID"] == own)


def _pass_on(line: bytes) -> None:
    """The server's log line to the replica's stderr, which Ray collects."""
    with contextlib.suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), line)
