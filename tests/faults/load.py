"""Callers who talk all the time, over real SIP and RTP, while something is broken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from appliance.engines.emulated_script import Script, load_script
from appliance.rehearsal import script as conversation
from appliance.rehearsal.calls import CallReport, lines_for
from appliance.rehearsal.clock import keep_pace
from appliance.rehearsal.rtp import Weather
from appliance.rehearsal.sip_caller import RATE_HZ, SipCall, SipPlan, SipSocket, SipState

ANSWER_WORDS = 7
"""Of each answer: a turn of some five seconds, so that many turns meet the fault."""
STAGGER_S = 0.15
BEFORE_S, AFTER_S = 7.0, 12.0
"""Talk until everybody has asked once; and long enough after it that everybody asks again."""
KNOCK_AFTER_S, KNOCK_EVERY_S = 0.3, 0.5


@dataclass(frozen=True, slots=True)
class Lived:
    """What the callers lived through."""

    calls: list[CallReport]
    placed_s: list[float]
    """When each call was answered, on the monotonic clock."""
    broken_s: float
    healed_s: float
    answered_again_s: float | None
    """From the fault to the first new call that was answered after one had been refused; 0: none
    was refused; None: none was answered again."""


def make_script(folder: Path) -> tuple[Path, Script]:
    """What is said, with short answers."""
    path = conversation.make(folder)
    whole = orjson.loads(path.read_bytes())
    for utterance in whole["utterances"]:
        utterance["answer"] = (
            " ".join(utterance["answer"].split()[:ANSWER_WORDS]).rstrip(",.") + "."
        )
    path.write_bytes(orjson.dumps(whole))
    return path, load_script(path)


@dataclass(frozen=True, slots=True)
class Callers:
    """How many, and whom they ring."""

    target: str
    """A SIP URI."""
    script: Script
    calls: int
    name: str
    """Their numbers begin so; the rows are found by it."""
    weather: Weather = field(default_factory=Weather)


async def live_through(
    callers: Callers,
    fault: Callable[[], Awaitable[None]],
    *,
    lasts_s: float = 0.0,
    heal: Callable[[], Awaitable[None]] | None = None,
) -> Lived:
    """Place the calls, let them talk, break something, mend it after ``lasts_s``, let them talk on,
    hang up. Meanwhile others ring, one after the other, for a second."""
    loop = asyncio.get_running_loop()
    _, sip = await loop.create_datagram_endpoint(SipSocket, local_addr=("0.0.0.0", 0))
    lines = lines_for(callers.script, RATE_HZ, barge_ins=False)
    plan = SipPlan(callers.target, callers.calls, 0, callers.weather, callers.name)
    calls = [SipCall(plan, number, lines, sip) for number in range(callers.calls)]
    placed: list[float] = []
    late: list[float] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            clock = tasks.create_task(keep_pace(calls, late))
            for call in calls:
                tasks.create_task(call.connect())
                await asyncio.sleep(STAGGER_S)
                placed.append(time.monotonic())
            await asyncio.sleep(BEFORE_S)
            broken_s = time.monotonic()
            knocking = tasks.create_task(_knock(callers, sip, broken_s))
            await fault()
            await asyncio.sleep(lasts_s)
            if heal is not None:
                await heal()
            healed_s = time.monotonic()
            again = await knocking
            await asyncio.sleep(AFTER_S)
            clock.cancel()
        reports = await asyncio.gather(*(call.hang_up() for call in calls))
    finally:
        sip.close()
    return Lived(list(reports), placed, broken_s, healed_s, again)


async def _knock(callers: Callers, sip: SipSocket, broken_s: float) -> float | None:
    """Ring until somebody answers; how long that took, 0 where the first was answered."""
    lines = lines_for(callers.script, RATE_HZ, barge_ins=False)
    refused = False
    await asyncio.sleep(KNOCK_AFTER_S)
    for number in range(60):
        call = SipCall(SipPlan(callers.target, 1, 0, name="visitor"), number, lines, sip)
        await call.connect()
        if call.state is SipState.UP:
            since_s = time.monotonic() - broken_s
            await call.hang_up()
            return since_s if refused else 0.0
        refused = True
        await call.hang_up()
        await asyncio.sleep(KNOCK_EVERY_S)
    return None
