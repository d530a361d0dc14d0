"""Who waits for whom at the one model, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from appliance.models.decode_queue import DecodeQueue, Full
from tests.virtualtime import run

DECODE_S = 1.0


class Decodes:
    """Makes decodes of a second each and keeps what ran, in order."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.at_once = 0

    def named(self, name: str) -> Callable[[], Awaitable[str]]:
        async def decode() -> str:
            self.at_once += 1
            assert self.at_once == 1
            await asyncio.sleep(DECODE_S)
            self.at_once -= 1
            self.ran.append(name)
            return name

        return decode


def test_a_final_overtakes_the_partials_that_wait() -> None:
    async def work() -> None:
        decodes, queue = Decodes(), DecodeQueue[str](8)
        partials = [queue.partial(decodes.named(name)) for name in ("p1", "p2", "p3")]
        await asyncio.sleep(DECODE_S / 2)  # p1 is under way
        finals = [queue.final(decodes.named(name)) for name in ("f1", "f2")]
        assert await asyncio.gather(*finals) == ["f1", "f2"]
        assert asyncio.get_running_loop().time() == pytest.approx(3 * DECODE_S)
        assert await asyncio.gather(*partials) == ["p1", "p2", "p3"]
        assert decodes.ran == ["p1", "f1", "f2", "p2", "p3"]

    run(work())


def test_a_cancelled_decode_never_runs_and_makes_room() -> None:
    async def work() -> None:
        decodes, queue = Decodes(), DecodeQueue[str](2)
        queue.partial(decodes.named("running"))
        await asyncio.sleep(0)
        waiting = [queue.partial(decodes.named(name)) for name in ("a", "b")]
        with pytest.raises(Full):
            queue.partial(decodes.named("c"))
        waiting[0].cancel()
        assert await queue.partial(decodes.named("d")) == "d"
        assert decodes.ran == ["running", "b", "d"]

    run(work())


def test_a_final_takes_the_place_of_the_newest_partial_but_not_of_a_final() -> None:
    async def work() -> None:
        decodes, queue = Decodes(), DecodeQueue[str](2)
        queue.final(decodes.named("running"))
        await asyncio.sleep(0)
        old, new = (queue.partial(decodes.named(name)) for name in ("old", "new"))
        first = queue.final(decodes.named("first"))
        assert new.cancelled() and not old.done()
        second = queue.final(decodes.named("second"))
        assert old.cancelled()
        with pytest.raises(Full):
            queue.final(decodes.named("third"))
        assert await asyncio.gather(first, second) == ["first", "second"]

    run(work())


def test_a_decode_that_fails_fails_alone() -> None:
    async def fails() -> str:
        raise RuntimeError("out of memory")

    async def work() -> None:
        decodes, queue = Decodes(), DecodeQueue[str](4)
        bad, good = queue.final(fails), queue.final(decodes.named("good"))
        with pytest.raises(RuntimeError, match="out of memory"):
            await bad
        assert await good == "good"
        assert await queue.final(decodes.named("later")) == "later"  # it starts again by itself

    run(work())
