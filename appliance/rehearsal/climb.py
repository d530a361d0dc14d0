"""Places the calls of a rehearsal, step after step, and stops where going on would tell nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np

from appliance.rehearsal.calls import Rehearsal
from appliance.rehearsal.conversation import Exchange
from appliance.rehearsal.questions import Questions
from appliance.rehearsal.ramp import FEW_TURNS, LONGER, Ramp
from appliance.rehearsal.sip_caller import SipCall, SipPlan, SipSocket, rehearse_sip
from appliance.rehearsal.spread import Spread, spread
from appliance.store.measures import REHEARSAL

OWN_LATE_MS = 10.0
"""Callers whose own frames are this late in p99 measure themselves."""
MOST_FAILED = 0.5
SETTLE_S = 1.0
"""Between two steps: what the last one left over is finished."""


class End(Enum):
    """Why a rehearsal went no higher."""

    DONE = "all steps were done"
    LATE = "the machine that the callers run on is the limit"
    FAILED = "half of the calls failed"
    TIME = "the time limit is reached"
    STOPPED = "it was stopped by hand"


@dataclass(frozen=True, slots=True)
class Step:
    """So many calls at once, and what their callers lived through."""

    number: int
    calls: int
    rehearsal: Rehearsal

    @property
    def exchanges(self) -> list[Exchange]:
        return [e for call in self.rehearsal.calls for e in call.conversation.exchanges]

    @property
    def gap(self) -> Spread | None:
        """At the callers' ears."""
        return spread(exchange.gap_ms for exchange in self.exchanges)

    @property
    def failures(self) -> Counter[str]:
        """Why calls failed, and how many of them."""
        return Counter(call.error for call in self.rehearsal.calls if call.error)

    @property
    def own_late_p99_ms(self) -> float | None:
        late = self.rehearsal.own_late_ms
        return round(float(np.percentile(late, 99)), 1) if late else None

    @property
    def is_late(self) -> bool:
        """Whether the callers' own machine was too busy for them."""
        return (self.own_late_p99_ms or 0.0) > OWN_LATE_MS


@dataclass(frozen=True, slots=True)
class Climbed:
    """What came of a rehearsal."""

    steps: tuple[Step, ...]
    end: End


@dataclass(frozen=True, slots=True)
class Target:
    """Who is called, and as whom."""

    uri: str
    run: str
    """Id of this rehearsal, in the callers' names."""

    def caller(self, step: int) -> str:
        """How the names of that step's callers begin."""
        return f"{REHEARSAL}{self.run}-{step}-"


class Progress(Protocol):
    """What a rehearsal tells while it runs."""

    def begins(self, calls: int) -> None:
        """A step begins."""

    def talks(self, calls: int, since_s: float, seconds: float, turns: int) -> None:
        """Once a second."""

    def ends(self, step: Step) -> None:
        """A step is over."""


async def probe(target: Target, questions: Questions) -> str:
    """One call that is hung up at once; why it failed, or an empty text."""
    loop = asyncio.get_running_loop()
    _, sip = await loop.create_datagram_endpoint(SipSocket, local_addr=("0.0.0.0", 0))
    try:
        call = SipCall(_plan(target, 0, 1, 0.0), 0, questions.lines, sip)
        await call.connect()
        return (await call.hang_up()).error
    finally:
        sip.close()


async def climb(
    target: Target,
    questions: Questions,
    ramp: Ramp,
    progress: Progress,
    stop: asyncio.Event,
    up: Callable[[int], None],
) -> Climbed:
    """Take the steps of ``ramp`` until one of :class:`End`; ``up`` is told how many calls are up."""
    begin_s = time.monotonic()
    done: list[Step] = []
    end = End.DONE
    for number, calls in enumerate(ramp.steps, start=1):
        if done:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SETTLE_S)
        if stop.is_set():
            end = End.STOPPED
            break
        if done and not ramp.fits(calls, time.monotonic() - begin_s):
            end = End.TIME
            break
        progress.begins(calls)
        up(calls)
        step = await _step(target, number, calls, questions, ramp, progress, stop)
        up(0)
        done.append(step)
        progress.ends(step)
        if calls != ramp.steps[-1] and (reason := enough(step)):
            end = reason
            break
    if stop.is_set():
        end = End.STOPPED
    return Climbed(tuple(done), end)


def enough(step: Step) -> End | None:
    """Why nothing above this step would tell anything; None: go on."""
    if sum(step.failures.values()) > MOST_FAILED * step.calls:
        return End.FAILED
    if step.is_late:
        return End.LATE
    return None


async def _step(
    target: Target,
    number: int,
    calls: int,
    questions: Questions,
    ramp: Ramp,
    progress: Progress,
    stop: asyncio.Event,
) -> Step:
    """Talk for the ramp's seconds, or longer while there are few turns."""
    over = asyncio.Event()

    def watch(turns: int, since_s: float) -> None:
        progress.talks(calls, since_s, ramp.seconds, turns)
        if since_s >= ramp.seconds and turns >= FEW_TURNS:
            over.set()

    plan = _plan(target, number, calls, ramp.seconds * LONGER)
    relay = asyncio.create_task(_relay(stop, over))
    try:
        rehearsal = await rehearse_sip(plan, questions.lines, watch, over)
    finally:
        relay.cancel()
    return Step(number, calls, rehearsal)


async def _relay(stop: asyncio.Event, over: asyncio.Event) -> None:
    await stop.wait()
    over.set()


def _plan(target: Target, step: int, calls: int, seconds: float) -> SipPlan:
    return SipPlan(target.uri, calls, seconds, name=target.caller(step))
