"""The desk: who comes in, who is turned away, and how a worker empties."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from telephone import FakeStream, Telephone, agent_with
from virtualtime import run

from appliance.call.desk import Desk
from appliance.events import Offer


def offer(number: int, part: int = 1) -> Offer:
    return Offer(f"call-000{number}", "1001", "+91", 8000, ("127.0.0.1", 9), part=part)


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


def admit(desk: Desk, number: int, part: int = 1) -> tuple[Any, FakeStream]:
    stream: Any = FakeStream()
    assert desk.refusal(f"call-000{number}", part) == ""
    return desk.admit(offer(number, part), stream), stream


def test_a_worker_that_warms_up_takes_nobody() -> None:
    desk = Desk(2)
    assert "warming up" in desk.refusal("c1") and desk.health()["status"] == "starting"


def test_the_limit_and_the_same_call_twice() -> None:
    async def work() -> None:
        desk, phone = Desk(2), Telephone()
        pacing = await opened(desk, phone)
        first, _ = admit(desk, 1)
        assert "here already" in desk.refusal("call-0001", 1)
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


def test_a_later_part_takes_the_place_of_an_earlier_whose_stream_hangs() -> None:
    async def work() -> tuple[FakeStream, FakeStream, Telephone]:
        desk, phone = Desk(1), Telephone()
        pacing = await opened(desk, phone)
        old, old_stream = admit(desk, 1)
        await asyncio.sleep(1)
        assert desk.refusal("call-0001") == ""  # the upgrade does not know its part yet
        assert "here already" in desk.refusal("call-0001", 1)
        new, stream = admit(desk, 1, part=2)  # on a full worker: it takes its own place
        await asyncio.sleep(0.5)
        assert stream.answered and desk.health()["calls"] == 1
        old.on_hangup("NETWORK_OUT_OF_ORDER")  # the old stream is found to be broken at last
        frames = len(old_stream.frames)
        await asyncio.sleep(1)
        assert len(old_stream.frames) == frames and desk.health()["calls"] == 1
        new.on_hangup("NORMAL_CLEARING")
        await asyncio.sleep(0.5)
        assert desk.health()["calls"] == 0
        await closed(pacing)
        return old_stream, stream, phone

    old_stream, stream, phone = run(work())
    assert old_stream.is_closed and stream.is_closed
    ends = [(r.part, r.ended_by) for r in phone.journal.records if r.ended_at]
    assert ends == [(1, "system"), (2, "caller")]
    begun = [(r.part, bool(r.ended_at)) for r in phone.journal.records]
    assert begun.index((1, True)) < begun.index((2, False))  # and not over the new one's


def test_a_part_replaced_before_its_agent_was_found_says_nothing_to_the_edge() -> None:
    async def work() -> tuple[FakeStream, FakeStream]:
        desk, phone = Desk(1), Telephone()
        pacing = await opened(desk, phone)
        phone.directory.delay_s = 0.3
        _, old_stream = admit(desk, 1)
        await asyncio.sleep(0.1)
        new, stream = admit(desk, 1, part=2)
        await asyncio.sleep(1)
        assert stream.answered and not old_stream.answered
        new.on_hangup("NORMAL_CLEARING")
        await asyncio.sleep(0.5)
        await closed(pacing)
        return old_stream, stream

    old_stream, _ = run(work())
    assert old_stream.is_closed


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
