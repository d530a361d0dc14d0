"""A call's own tasks, how it ends, and the border at which its errors stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal, ParamSpec

from appliance.media.server import Stream
from appliance.telemetry import CallLog

HANG_UP_TIMEOUT_S = 10.0
"""For the edge to play what it has and end the call."""
LOST = "NETWORK_OUT_OF_ORDER"
"""The cause of a call whose edge broke."""
PERSON_HAS_IT = frozenset({"ATTENDED_TRANSFER", "BLIND_TRANSFER"})
"""Causes with which the edge ends a call that a person has taken over."""

Side = Literal["caller", "agent", "system"]
P = ParamSpec("P")


class Life:
    """Of one call, from :meth:`run` to the first :meth:`finish`."""

    def __init__(self, log: CallLog) -> None:
        self._log = log
        self._tasks = asyncio.TaskGroup()
        self._over = asyncio.Event()
        self.ended_by: Side | Literal[""] = ""
        self.cause = ""

    @property
    def is_over(self) -> bool:
        """Whether somebody has ended it."""
        return self._over.is_set()

    async def run(self, begin: Callable[[], object]) -> None:
        """``begin``, then live until :meth:`finish`; an error of any task ends this call, here."""
        try:
            async with self._tasks:
                begin()
                await self._over.wait()
                raise _Over
        except* _Over:
            pass
        except* Exception:
            self._break()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do ``work`` beside; it is cancelled at the end."""
        return self._tasks.create_task(work)

    def guard(self, work: Callable[P, object]) -> Callable[P, None]:
        """``work``, called from what all calls share, at the border of this call: an error in it
        ends this call and no other, and nothing more happens once the call is over."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            if self.is_over:
                return
            try:
                work(*args, **kwargs)
            except Exception:
                self._break()

        return guarded

    def finish(self, by: Side, cause: str) -> None:
        """End the call; the first to say so is who ended it."""
        if not self.ended_by:
            self.ended_by, self.cause = by, cause
        self._over.set()

    def hung_up(self, cause: str) -> None:
        """The edge has ended it: for the caller, for a person who has them now, or by breaking."""
        if cause == LOST:
            self.finish("system", cause)
        else:
            self.finish("agent" if cause in PERSON_HAS_IT else "caller", cause)

    async def leave(self, stream: Stream) -> None:
        """Tell the edge, unless the caller hung up, and close."""
        self._log.info("> call over: %s, by %s", self.cause, self.ended_by)
        if self.ended_by != "caller":
            stream.hang_up(self.cause)
            await stream.closed(HANG_UP_TIMEOUT_S)
        stream.close()

    def _break(self) -> None:
        self._log.exception("! the call broke")
        self.finish("system", "INTERWORKING")


class _Over(Exception):
    """Ends the call's TaskGroup: whatever it still does is cancelled."""
