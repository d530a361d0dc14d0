"""A call's life: its tasks, who ended it, and errors that end this call and nothing else."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

import pytest

from appliance.call.life import Life
from appliance.media.server import Stream
from appliance.telemetry import CallLog


def life() -> Life:
    return Life(CallLog("test", "c-1"))


class Edge:
    """What is said to the edge at the end."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def hang_up(self, cause: str) -> None:
        self.heard.append(cause)

    async def closed(self, timeout_s: float) -> None:
        self.heard.append("waited")

    def close(self) -> None:
        self.heard.append("closed")


async def test_who_ends_it_first_has_ended_it_and_what_it_did_is_cancelled() -> None:
    call, cancelled = life(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def end() -> None:
        await asyncio.sleep(0)
        call.finish("agent", "NORMAL_CLEARING")
        call.finish("system", "INTERWORKING")

    def begin() -> None:
        call.spawn(work())
        call.spawn(end())

    await asyncio.wait_for(call.run(begin), 2)
    assert (call.ended_by, call.cause) == ("agent", "NORMAL_CLEARING")
    assert call.is_over and cancelled.is_set()


@pytest.mark.parametrize("where", ["task", "beginning"])
async def test_an_error_ends_the_call_and_is_logged(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    call = life()

    async def broken() -> None:
        raise RuntimeError("ouch")

    def begin() -> None:
        if where == "beginning":
            raise RuntimeError("ouch")
        call.spawn(broken())

    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(call.run(begin), 2)
    assert (call.ended_by, call.cause) == ("system", "INTERWORKING")
    assert caplog.text.count("the call broke") == 1


async def test_a_guarded_callback_ends_its_call_and_then_does_nothing() -> None:
    call, seen = life(), list[int]()

    def work(number: int) -> None:
        seen.append(number)
        if number == 2:
            raise RuntimeError("ouch")

    guarded = call.guard(work)
    for number in (1, 2, 3):
        guarded(number)
    assert seen == [1, 2] and call.cause == "INTERWORKING"


@pytest.mark.parametrize(
    ("cause", "by", "heard"),
    [
        ("NORMAL_CLEARING", "caller", ["closed"]),
        ("NETWORK_OUT_OF_ORDER", "system", ["NETWORK_OUT_OF_ORDER", "waited", "closed"]),
        ("ATTENDED_TRANSFER", "agent", ["ATTENDED_TRANSFER", "waited", "closed"]),
        ("BLIND_TRANSFER", "agent", ["BLIND_TRANSFER", "waited", "closed"]),
    ],
)
async def test_whose_end_the_edge_tells_of(cause: str, by: str, heard: list[str]) -> None:
    call, edge = life(), Edge()
    call.hung_up(cause)
    await call.leave(cast(Stream, edge))
    assert (call.ended_by, call.cause, edge.heard) == (by, cause, heard)
