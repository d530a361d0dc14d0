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
    def __init__(self, *followed: str) -> None:
        self.seen: list[dict[str, Any]] = []
        self.sound: list[bytes] = []
        self.heard: frozenset[str] = frozenset()
        self._followed = followed

    def wants(self, call_id: str, kind: str) -> bool:
        return kind not in ("partial", "final") or call_id in self._followed

    def play(self, message: bytes) -> None:
        self.sound.append(message)

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


def test_who_comes_in_mid_call_is_told_of_the_calls_there_are() -> None:
    async def work() -> list[dict[str, Any]]:
        desk, phone, watcher = Desk(3), Telephone(), Watcher()
        pacing = await opened(desk, phone)
        call, _ = admit(desk, 1)
        await asyncio.sleep(3)
        phone.directory.delay_s = 5
        admit(desk, 2)  # its agent is still looked for
        await asyncio.sleep(0.1)
        seen: Any = watcher
        desk.name_calls(seen)
        call.on_hangup("NORMAL_CLEARING")
        await asyncio.sleep(10)
        await closed(pacing)
        return watcher.seen

    call, calls = run(work())
    assert call["call_id"] == "call-0001" and call["event"] == "call" and call["ms"] > 2000
    assert (call["agent_id"], call["version"], call["agent"]) == ("A", 1, "Asha")
    assert call["did"] == "1001" and call["state"] == "listening" and call["turns"] == 1
    assert calls["event"] == "calls" and calls["call_ids"] == ["call-0001", "call-0002"]


def test_words_under_way_are_made_ready_only_for_who_follows_the_call() -> None:
    desk = Desk(3)
    nobody: Any = Watcher()
    one: Any = Watcher("call-0001")
    desk.watch(nobody)
    assert not desk.is_watched("call-0001", "partial") and desk.is_watched("call-0001", "turn")
    desk.watch(one)
    assert desk.is_watched("call-0001", "partial") and not desk.is_watched("call-2", "partial")
    desk.tell("call-0001", {"event": "partial"})
    assert len(one.seen) == 1 and not nobody.seen


def test_a_supervisor_ends_a_call_and_tells_its_agent_something() -> None:
    async def work() -> tuple[list[str], FakeStream, Telephone]:
        desk, phone = Desk(3), Telephone()
        pacing = await opened(desk, phone)
        _, stream = admit(desk, 1)
        await asyncio.sleep(3)
        answers = [
            desk.whisper("call-0009", "Hello."),
            desk.whisper("call-0001", "  "),
            desk.whisper("call-0001", "Offer a refund."),
            desk.hang_up("call-0009"),
            desk.hang_up("call-0001"),
        ]
        await asyncio.sleep(11)
        await closed(pacing)
        return answers, stream, phone

    answers, stream, phone = run(work())
    assert "not here" in answers[0] and "letters" in answers[1] and answers[2] == ""
    assert "not here" in answers[3] and answers[4] == ""
    assert stream.cause == "NORMAL_CLEARING"
    assert [r.ended_by for r in phone.journal.records if r.ended_at] == ["system"]


def test_who_listens_in_gets_both_sides_in_step_and_nobody_else_does() -> None:
    async def work() -> list[bytes]:
        desk, phone, watcher = Desk(3), Telephone(), Watcher()
        pacing = await opened(desk, phone)
        call, _ = admit(desk, 1)
        await asyncio.sleep(0.5)
        seen: Any = watcher
        desk.watch(seen)
        watcher.heard = frozenset({"call-0001"})
        desk.overhear()
        for _ in range(50):
            call.on_audio(b"\x01\x02" * 160)
            await asyncio.sleep(0.02)
        watcher.heard = frozenset()
        desk.unwatch(seen)
        count = len(watcher.sound)
        await asyncio.sleep(1)
        assert len(watcher.sound) == count
        call.on_hangup("NORMAL_CLEARING")
        await asyncio.sleep(0.5)
        await closed(pacing)
        return watcher.sound

    sound = run(work())
    assert 8 <= len(sound) <= 11
    head = b"\x09call-0001\x08"
    assert all(piece.startswith(head) and len(piece) == len(head) + 3200 for piece in sound)
    left = [piece[len(head) :][0::4] for piece in sound]
    assert left[3] == b"\x01" * 800  # the caller is on the left
