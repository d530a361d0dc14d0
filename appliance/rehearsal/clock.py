"""When a datagram came, by the kernel's clock, and the callers' own 20 ms pace."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Sequence
from typing import Protocol

from appliance.rehearsal.conversation import FRAME_S

SLOTS = 10
"""Calls are spread over the 20 ms in steps of 2 ms, as unrelated telephones are."""
_SO_TIMESTAMPNS = 35
"""asm-generic/socket.h; the socket module does not name it."""
_TIMESPEC = struct.Struct("@qq")


def stamped_socket(host: str = "127.0.0.1") -> socket.socket:
    """A UDP socket on a free port of ``host`` whose datagrams carry their arrival."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    made.bind((host, 0))
    return made


def arrival_s(ancillary: Sequence[tuple[int, int, bytes]]) -> float:
    """The arrival that ``recvmsg`` reported, on the monotonic clock; now, when it did not."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack(data[: _TIMESPEC.size])
            return float(time.monotonic() - (time.time() - seconds - nanoseconds / 1e9))
    return time.monotonic()


class Ticked(Protocol):
    """A caller that sends a frame when it is told to."""

    def tick(self) -> None: ...


async def keep_pace(calls: Sequence[Ticked], late_ms: list[float]) -> None:
    """Every 2 ms, let the calls of that slot send their frame; never drifts.

    ``late_ms`` takes how late each step was: what the callers' own machine adds.
    """
    step_s = FRAME_S / SLOTS
    slots = [calls[slot::SLOTS] for slot in range(SLOTS)]
    begin_s, step = time.monotonic(), 0
    while True:
        due_s = begin_s + step * step_s
        wait_s = due_s - time.monotonic()
        # behind: catch up, but let the sockets be read
        await asyncio.sleep(max(0.0, wait_s))
        late_ms.append((time.monotonic() - due_s) * 1000)
        for call in slots[step % SLOTS]:
            call.tick()
        step += 1
