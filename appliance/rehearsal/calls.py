"""N calls at once, whatever they go through: placed one after the other, talked, hung up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from appliance.audio import frame_bytes
from appliance.engines.emulated_script import Script
from appliance.rehearsal.clock import keep_pace
from appliance.rehearsal.conversation import Conversation, Line, lines_of
from appliance.rehearsal.lateness import Lateness

BARGE_IN_EVERY = 4
STAGGER_S = 0.05
"""Between two calls that are placed."""

Watch = Callable[[int, float], None]
"""Called once a second while the calls talk, with the turns so far and the seconds."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """What one caller lived through."""

    number: int
    conversation: Conversation
    frames: Lateness
    error: str = ""
    lost_packets: int = 0
    """RTP packets that never came, by their sequence numbers."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What all callers lived through."""

    calls: list[CallReport]
    up_s: float
    """When the last call had been placed, on the monotonic clock."""
    end_s: float
    """When the first one was hung up."""
    own_late_ms: list[float] = field(default_factory=list)
    """How late the callers' own frames were: what the measuring itself adds."""


class Call(Protocol):
    """One caller."""

    @property
    def conversation(self) -> Conversation: ...

    async def connect(self) -> None:
        """Place the call; what goes wrong stands in the report."""

    def tick(self) -> None:
        """Send the frame that is due now, if the call is up."""

    async def hang_up(self) -> CallReport:
        """End the call and report."""


def lines_for(script: Script, rate_hz: int, *, barge_ins: bool) -> list[Line]:
    """The script as lines; every fourth one is said into the agent's reply."""
    pcm = {utterance.id: utterance.pcm(rate_hz) for utterance in script.utterances}
    return [
        Line(line.id, line.frames, barge_ins and index % BARGE_IN_EVERY == BARGE_IN_EVERY - 1)
        for index, line in enumerate(lines_of(pcm, frame_bytes(rate_hz)))
    ]


async def rehearse(
    calls: Sequence[Call],
    seconds: float,
    watch: Watch = lambda turns, since_s: None,
    stagger_s: float = STAGGER_S,
    stop: asyncio.Event | None = None,
) -> Rehearsal:
    """Place all ``calls``, talk for ``seconds`` or until ``stop``, hang up."""
    stop = stop or asyncio.Event()
    own_late_ms: list[float] = []
    async with asyncio.TaskGroup() as group:
        clock = group.create_task(keep_pace(calls, own_late_ms))
        for call in calls:
            if stop.is_set():
                break
            group.create_task(call.connect())
            await asyncio.sleep(stagger_s)
        up_s = time.monotonic()
        await _talk(calls, seconds, watch, stop)
        end_s = time.monotonic()
        clock.cancel()
    reports = await asyncio.gather(*(call.hang_up() for call in calls))
    return Rehearsal(reports, up_s, end_s, own_late_ms)


async def _talk(calls: Sequence[Call], seconds: float, watch: Watch, stop: asyncio.Event) -> None:
    begin_s = time.monotonic()
    while (since_s := time.monotonic() - begin_s) < seconds and not stop.is_set():
        watch(sum(len(call.conversation.exchanges) for call in calls), since_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(1.0, seconds - since_s)):
                await stop.wait()
