"""Whether the one thread of a model still gets on: a model that hangs is seen from outside."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

from appliance.models.ending import HUNG_S, end

if TYPE_CHECKING:
    from appliance.models.http import Load

_log = logging.getLogger(__name__)

HANG_S = 5.0
"""A step of a model takes 10 to 500 ms; one of so long is none: ``/health`` says 503."""
LOOK_S = 0.25


class ModelWatch:
    """Sees each step of the model; owned by the engine, asked by its server."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._lost = ""

    @contextmanager
    def step(self) -> Iterator[None]:
        """The model works on something."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def lose(self, why: str) -> None:
        """The device is gone: the process is of no more use."""
        self._lost = why

    @property
    def lost(self) -> str:
        """Why the process is to end; empty while it is of use."""
        return self._lost

    @property
    def stuck_s(self) -> float:
        """How long the step under way has taken."""
        return 0.0 if self._since is None else time.monotonic() - self._since


@asynccontextmanager
async def guarding(watch: ModelWatch, load: Load) -> AsyncIterator[None]:
    """While the block runs: ``load`` is not ready while the model hangs, and the process ends when
    that lasts or the device is gone."""
    task = asyncio.create_task(_guard(watch, load))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _guard(watch: ModelWatch, load: Load) -> None:
    while True:
        hangs = watch.stuck_s >= HANG_S
        if hangs and load.ready:
            _log.error("! the model has not answered for %.0f s", watch.stuck_s)
        elif not hangs and not load.ready:
            _log.info("= the model answers again")
        load.ready = not hangs
        if watch.lost:
            end(f"the GPU does not answer any more ({watch.lost})")
        if watch.stuck_s >= HUNG_S:
            end(f"the model has hung for {watch.stuck_s:.0f} s")
        await asyncio.sleep(LOOK_S)
