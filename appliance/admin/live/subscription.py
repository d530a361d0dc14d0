"""What one page, or one listener, has not seen yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.access.actor import Actor
from appliance.admin.live.view import Change, LiveCallView

MOST_CHUNKS = 20
"""Of sound, 100 ms each, waiting for a listener: when full the oldest goes, for what is heard late is
of no use and a browser that falls behind must catch up."""


class Subscription:
    """An async iterator of :class:`Change`; the first holds every call that the actor may see.

    There is no queue of changes that could be full: what waits is which calls have changed, at most
    one entry for each, and the change is made of their latest state when it is asked for. A page that
    is slow misses what was in between, never how it ended.
    """

    def __init__(
        self,
        actor: Actor,
        call_id: str | None,
        look: Callable[[str, Actor], LiveCallView | None],
        all_ids: Callable[[], list[str]],
    ) -> None:
        """``look``: the call as the actor may see it, or None."""
        self.actor = actor
        self.call_id = call_id
        self._look = look
        self._all_ids = all_ids
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._shown: set[str] = set()
        self._is_first = True
        self._closed = False
        self.touch_all()

    def touch(self, call_id: str) -> None:
        """That call has changed."""
        if self.call_id is None or call_id == self.call_id:
            self._changed[call_id] = None
            self._wake.set()

    def touch_all(self) -> None:
        """Any of them may have changed, or be theirs to see now."""
        for call_id in {*self._all_ids(), *self._shown}:
            self.touch(call_id)

    @property
    def waiting(self) -> int:
        """Calls that have changed since the last look."""
        return len(self._changed)

    def close(self) -> None:
        """Nothing more comes."""
        self._closed = True
        self._wake.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Change:
        while True:
            if not self._is_first:
                await self._wake.wait()
            if self._closed:
                raise StopAsyncIteration
            change = self._take()
            if change.calls or change.gone or self._is_first:
                self._is_first = False
                return change

    def _take(self) -> Change:
        changed, self._changed = self._changed, {}
        self._wake.clear()
        calls, gone = [], []
        for call_id in changed:
            if (view := self._look(call_id, self.actor)) is not None:
                calls.append(view)
                self._shown.add(call_id)
            elif call_id in self._shown:
                self._shown.remove(call_id)
                gone.append(call_id)
        return Change(tuple(calls), tuple(gone))


class Listener:
    """An async iterator of a call's sound: bytes of stereo L16, left the caller, right the agent."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_CHUNKS)
        self.dropped = 0

    def put(self, chunk: bytes | None) -> None:
        """The next chunk; None: the call is over."""
        if self._chunks.full():
            self._chunks.get_nowait()
            self.dropped += 1
        self._chunks.put_nowait(chunk)

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._chunks.get()
        if chunk is None:
            raise StopAsyncIteration
        return chunk
