"""Who is at the far end of a stand-in's channel: a caller, or a person whom we ring."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Literal

FRAME_BYTES = 320
FRAME_S = 0.02
JITTER_S = 0.06


class State(Enum):
    RINGING = auto()
    UP = auto()
    OVER = auto()


class Party:
    """Speaks, hears and presses keys; names are those of :class:`tests.sippeer.PeerCall`."""

    def __init__(self, number: str) -> None:
        self.number = number
        self.state = State.RINGING
        self.status = 0
        """What the far end's INVITE came to, as its telephone sees it."""
        self.cause = ""
        self.ended_by: Literal["", "us", "them"] = ""
        self.held = False
        self.frames: list[tuple[float, bytes]] = []
        self.begun_s = time.monotonic()
        self.pressed: Callable[[str, int], None] = lambda key, ms: None
        self.hung_up: Callable[[], None] = lambda: None
        self.on_hold: Callable[[bool], None] = lambda on: None
        self._speech = bytearray()
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def answered(self) -> bool:
        return self.status == 200

    def play(self, pcm: bytes) -> float:
        """Queue L16 at 8 kHz; the monotonic time at which it will have been said."""
        self._speech += pcm
        return time.monotonic() + len(self._speech) / FRAME_BYTES * FRAME_S

    def heard(self) -> bytes:
        """L16 at 8 kHz since the call began, silence where nothing was said to us."""
        out = bytearray()
        for at_s, pcm in list(self.frames):
            ahead_s = at_s - self.begun_s - len(out) / FRAME_BYTES * FRAME_S
            if ahead_s > JITTER_S:
                out += bytes(int(ahead_s / FRAME_S) * FRAME_BYTES)
            out += pcm
        return bytes(out)

    async def press(self, keys: str, *, duration_ms: int = 120) -> None:
        for key in keys:
            await asyncio.sleep(duration_ms / 1000)
            self.pressed(key, duration_ms)
            await asyncio.sleep(0.1)

    async def hang_up(self) -> None:
        """BYE, CANCEL or 603: the channel knows."""
        if self.state is not State.OVER:
            self.ended_by = "us"
            self.hung_up()

    async def hold(self) -> int:
        self.held = True
        self.on_hold(True)
        return 200

    async def resume(self) -> int:
        self.held = False
        self.on_hold(False)
        return 200

    async def final(self, timeout_s: float = 10.0) -> int:
        """The final status. Raises TimeoutError."""
        await self._until(lambda: self.status != 0, timeout_s)
        return self.status

    async def ended(self, timeout_s: float = 10.0) -> str:
        """Who ended the call. Raises TimeoutError."""
        await self._until(lambda: self.state is State.OVER, timeout_s)
        return self.ended_by

    # --- the channel's side -----------------------------------------------------------------------

    def frame(self) -> bytes:
        """The next 20 ms of what we say; before the answer we are silent."""
        if self.state is not State.UP or not self._speech:
            return bytes(FRAME_BYTES)
        said = bytes(self._speech[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
        del self._speech[:FRAME_BYTES]
        return said

    def hear(self, pcm: bytes) -> None:
        if self.state is not State.OVER:
            self.frames.append((time.monotonic(), pcm))

    def answer(self) -> None:
        if self.state is State.RINGING:
            self.state, self.status = State.UP, 200
            self._tell()

    def end(self, status: int, cause: str) -> None:
        """``status``: what an unanswered call was refused with."""
        self.status = self.status or status
        self.cause = self.cause or cause
        self.ended_by = self.ended_by or "them"
        self.state = State.OVER
        self._tell()

    def _tell(self) -> None:
        task = asyncio.get_running_loop().create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, done: Callable[[], Any], timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(done)
