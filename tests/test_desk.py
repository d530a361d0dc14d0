"""The desk: who comes in, who is turned away, and how a worker empties."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from telephone import FakeStream, Telephone, agent_with
from virtualtime import run

from appliance.call.desk import Desk
from appliance.events import Offer


def offer(number: int) -> Offer:
    return Offer(f"call-000{number}", "1001", "+91", 8000, ("127.0.0.1", 9))


class Watcher:
    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def tell(self, message: bytes) -> None:
        self.seen.append(orjson.loads(message))


async def opened(desk: Desk, phone: Telephone) -> asyncio.Task[None]:
    """The desk with a worker's services behind it; returns the pacer's task."""
    await phone.composer.warm(phone.agent)
    desk.open(phone.services())
    return asyncio.create_task(phone.pacer.run())


async def closed(pacing: asyncio.Task[None]) -> None:
    pacing.cancel()
    await asyncio.wait({pacing})


def admit(desk: Desk, number: int) -> tuple[Any, FakeStream]:
    stream: Any = FakeStream()
    assert desk.refusal(f"call-000{number}") == ""
    return desk.admit(offer(number), stream), stream


def test_a_worker_that_warms_up_takes_nobody() -> None:
    desk = Desk(2)
    assert "warming up" in desk.refusal("c1") and desk.health()["status"] == "starting"


def test_the_limit_and_the_same_call_twice() -> None:
    async def work() -> None:
        desk, phone = Desk(2), Telephone()
        pacing = await opened(desk, phone)
        first, _ = admit(desk, 1)
        assert "here already" in desk.refusal("call-0001")
        second, _ = admit(desk, 2)
        assert "limit of 2" in desk.refusal("call-0003")
        assert desk.health() == {"status": "ok", "calls": 2, "capacity": 2}
        await asyncio.sleep(1)
        first.on_hangup("NORMAL_CLEARING")
        await asyncio.sleep(0.5)
        assert desk.refusal("call-0003") == "" and desk.refusal("call-0001") == ""
        second.on_hangup("NORMAL_CLEARING")
        await asyncio.sleep(0.5)
        assert desk.health()["calls"] == 0
        await closed(pacing)

    run(work())


def test_draining_refuses_new_calls_and_lets_live_ones_finish() -> None:
    async def work() -> FakeStream:
        desk, phone = Desk(5), Telephone()
        pacing = await opened(desk, phone)
        live, stream = admit(desk, 1)
        await asyncio.sleep(1)
        draining = asyncio.create_task(desk.drain(600))
        await asyncio.sleep(5)
        assert not draining.done() and not stream.is_closed and not stream.cause
        assert "draining" in desk.refusal("call-0002") and desk.health()["status"] == "draining"
        live.on_hangup("NORMAL_CLEARING")
        await asyncio.wait_for(draining, 1)
        await closed(pacing)
        return stream

    assert run(work()).is_closed


def test_draining_ends_what_takes_too_long_also_a_call_without_an_agent_yet() -> None:
    async def work() -> tuple[list[FakeStream], float]:
        desk, phone = Desk(5), Telephone(agent_with(silence_ms=600_000))
        pacing = await opened(desk, phone)
        streams = [admit(desk, 1)[1]]
        await asyncio.sleep(1)
        phone.directory.delay_s = 20
        streams.append(admit(desk, 2)[1])
        begin = asyncio.get_running_loop().time()
        await desk.drain(10)
        took_s = asyncio.get_running_loop().time() - begin
        await closed(pacing)
        return streams, took_s

    streams, took_s = run(work())
    assert all(s.is_closed and s.cause == "NORMAL_TEMPORARY_FAILURE" for s in streams)
    assert 10 <= took_s < 25
    assert not streams[1].answered


def test_draining_an_empty_worker_is_done_at_once() -> None:
    async def work() -> float:
        await Desk(1).drain(600)
        return asyncio.get_running_loop().time()

    assert run(work()) < 0.1


def test_watchers_see_every_event_as_json() -> None:
    async def work() -> list[dict[str, Any]]:
        desk, phone, watcher = Desk(1), Telephone(), Watcher()
        pacing = await opened(desk, phone)
        services = phone.services()
        object.__setattr__(services, "watch", desk.tell)
        desk.open(services)
        seen: Any = watcher
        desk.watch(seen)
        call, _ = admit(desk, 1)
        await asyncio.sleep(3)
        call.on_hangup("NORMAL_CLEARING")
        await asyncio.sleep(0.5)
        desk.unwatch(seen)
        desk.tell("x", {"event": "later"})
        await closed(pacing)
        return watcher.seen

    seen = run(work())
    events = {e["event"]: e for e in seen}
    assert [*events] == sorted(events, key=["call", "phrase", "audible", "turn_over", "end"].index)
    assert {"call", "audible", "turn_over", "end"} <= events.keys()
    assert {e["call_id"] for e in seen} == {"call-0001"}
    assert events["turn_over"]["turn"]["heard"] == "Welcome to Sunrise."
    assert all(isinstance(e["ms"], int) for e in seen)
