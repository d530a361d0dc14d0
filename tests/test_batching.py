"""Who runs with whom in the one model's batches, and who waits, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.models.batching import Batcher, Bounds, Decode, DeviceLost, Full, Stuck
from tests.virtualtime import run

RUN_S = 1.0
BOUNDS = Bounds(items=4, cost=100.0, waiting=16, run_s=10.0)


@dataclass(frozen=True)
class Piece:
    """Something to decode; one named ``bad…`` fails its batch."""

    name: str
    group: str = ""
    cost: float = 1.0


class Model:
    """Takes a second for a batch of any size, and keeps what ran."""

    def __init__(self, run_s: float = RUN_S) -> None:
        self.run_s = run_s
        self.batches: list[list[str]] = []
        self.running = 0
        self.lost = False

    async def decode(self, pieces: Sequence[Piece]) -> list[str]:
        self.running += 1
        assert self.running == 1
        self.batches.append([piece.name for piece in pieces])
        await asyncio.sleep(self.run_s)
        self.running -= 1
        if self.lost:
            raise DeviceLost("CUDA failed with error unspecified launch failure")
        if any(piece.name.startswith("bad") for piece in pieces):
            raise RuntimeError("out of memory")
        return [piece.name.upper() for piece in pieces]


def pieces(text: str) -> list[Callable[[], Piece]]:
    return [lambda name=name: Piece(name) for name in text.split()]


async def busy(batcher: Batcher[Piece, str]) -> asyncio.Future[Decode[Piece, str]]:
    """Something is under way that the rest of the test waits for."""
    running = batcher.partial(lambda: Piece("running"))
    await asyncio.sleep(RUN_S / 2)
    return running


def test_what_waits_while_the_model_is_busy_runs_together_finals_first() -> None:
    async def work() -> None:
        model = Model()
        batcher = Batcher(model.decode, BOUNDS)
        await busy(batcher)
        partials = [batcher.partial(make) for make in pieces("p1 p2 p3")]
        finals = [batcher.final(make) for make in pieces("f1 f2")]
        done = await asyncio.gather(*finals)
        assert [decode.result for decode in done] == ["F1", "F2"]
        assert asyncio.get_running_loop().time() == pytest.approx(2 * RUN_S)
        await asyncio.gather(*partials)
        assert model.batches == [["running"], ["f1", "f2"], ["p1", "p2", "p3"]]

    run(work())


def test_one_alone_does_not_wait_for_others() -> None:
    async def work() -> None:
        batcher = Batcher(Model().decode, BOUNDS)
        await batcher.final(lambda: Piece("alone"))
        assert asyncio.get_running_loop().time() == RUN_S

    run(work())


def test_a_batch_is_bounded_by_its_size_its_padded_cost_and_its_group() -> None:
    async def work() -> None:
        model = Model()
        batcher = Batcher(model.decode, BOUNDS)
        await busy(batcher)
        waiting = [
            Piece("a", cost=30), Piece("long", cost=60), Piece("b", cost=20),
            Piece("other", group="x"), Piece("c", cost=10), Piece("d"), Piece("huge", cost=1000),
        ]  # fmt: skip
        await asyncio.gather(*(batcher.partial(lambda p=piece: p) for piece in waiting))
        assert model.batches[1:] == [["a", "b", "c"], ["long"], ["other"], ["d"], ["huge"]]

    run(work())


def test_the_longest_waiting_leads_so_that_none_waits_for_ever() -> None:
    """A call of a rare group among many that ask again and again."""

    async def work() -> None:
        model = Model()
        batcher = Batcher(model.decode, BOUNDS)

        async def asks_on(name: str) -> None:
            for _ in range(10):
                await batcher.partial(lambda: Piece(name))

        async with asyncio.TaskGroup() as calls:
            for number in range(6):
                calls.create_task(asks_on(f"c{number}"))
            await asyncio.sleep(RUN_S / 2)
            await batcher.partial(lambda: Piece("rare", group="x"))
            assert len(model.batches) <= 4
        served = [sum(f"c{n}" in batch for batch in model.batches[:9]) for n in range(6)]
        assert max(served) - min(served) <= 1

    run(work())


def test_what_is_decoded_is_taken_when_the_model_is_free() -> None:
    async def work() -> None:
        heard = 0
        batcher = Batcher(Model().decode, BOUNDS)
        await busy(batcher)
        asked = batcher.partial(lambda: Piece(f"{heard} ms"))
        heard = 700
        assert (await asked).item.name == "700 ms"

    run(work())


def test_a_cancelled_decode_never_runs_and_makes_room() -> None:
    async def work() -> None:
        model = Model()
        batcher = Batcher(model.decode, Bounds(4, 100, waiting=2, run_s=10))
        await busy(batcher)
        waiting = [batcher.partial(make) for make in pieces("a b")]
        with pytest.raises(Full):
            batcher.partial(lambda: Piece("c"))
        waiting[0].cancel()
        assert (await batcher.partial(lambda: Piece("d"))).result == "D"
        assert model.batches == [["running"], ["b", "d"]]

    run(work())


def test_a_final_takes_the_place_of_the_newest_partial_but_not_of_a_final() -> None:
    async def work() -> None:
        batcher = Batcher(Model().decode, Bounds(4, 100, waiting=2, run_s=10))
        await busy(batcher)
        old, new = (batcher.partial(make) for make in pieces("old new"))
        first = batcher.final(lambda: Piece("first"))
        assert new.cancelled() and not old.done()
        second = batcher.final(lambda: Piece("second"))
        assert old.cancelled()
        with pytest.raises(Full):
            batcher.final(lambda: Piece("third"))
        assert [decode.result for decode in await asyncio.gather(first, second)] == [
            "FIRST", "SECOND",
        ]  # fmt: skip

    run(work())


def test_a_batch_that_fails_fails_only_its_culprit() -> None:
    async def work() -> None:
        model = Model()
        batcher = Batcher(model.decode, BOUNDS)
        await busy(batcher)
        asked = [batcher.final(make) for make in pieces("a bad b")]
        asked.append(batcher.final(lambda: Piece("gone")))
        await asyncio.sleep(RUN_S)
        asked[3].cancel()  # its call ended while the batch ran
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [r.result for r in (results[0], results[2])] == ["A", "B"]
        assert str(results[1]) == "out of memory"
        assert model.batches[1:] == [["a", "bad", "b", "gone"], ["a"], ["bad"], ["b"]]
        assert (await batcher.final(lambda: Piece("later"))).result == "LATER"

    run(work())


def test_what_cannot_even_be_made_fails_alone() -> None:
    def broken() -> Piece:
        raise ValueError("no audio")

    async def work() -> None:
        batcher = Batcher(Model().decode, BOUNDS)
        bad, good = batcher.final(broken), batcher.final(lambda: Piece("good"))
        assert (await good).result == "GOOD"
        with pytest.raises(ValueError, match="no audio"):
            await bad

    run(work())


def test_a_run_that_hangs_fails_all_at_once_until_it_comes_back() -> None:
    async def work() -> None:
        model = Model(run_s=25)
        batcher = Batcher(model.decode, BOUNDS)
        under_way = batcher.final(lambda: Piece("a"))
        await asyncio.sleep(1)
        waiting = batcher.partial(lambda: Piece("b"))
        with pytest.raises(Stuck) as stuck:
            await under_way
        assert asyncio.get_running_loop().time() == BOUNDS.run_s
        with pytest.raises(Stuck):
            await waiting
        with pytest.raises(Stuck):
            batcher.final(lambda: Piece("c"))
        await stuck.value.over.wait()
        assert asyncio.get_running_loop().time() == 25
        model.run_s = 1
        assert (await batcher.final(lambda: Piece("d"))).result == "D"
        assert model.batches == [["a"], ["d"]]

    run(work())


def test_a_lost_device_fails_everything_for_good() -> None:
    async def work() -> None:
        model = Model()
        batcher = Batcher(model.decode, BOUNDS)
        await busy(batcher)
        model.lost = True
        waiting = batcher.final(lambda: Piece("a"))
        with pytest.raises(DeviceLost):
            await waiting
        with pytest.raises(DeviceLost):
            batcher.partial(lambda: Piece("b"))
        assert model.batches == [["running"]]

    run(work())


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from("xy"), st.integers(1, 120)),
        min_size=1,
        max_size=14,
    )
)
def test_every_decode_runs_once_within_bounds(asked: list[tuple[bool, str, int]]) -> None:
    async def work() -> None:
        batches: list[list[Piece]] = []

        async def decode(batch: Sequence[Piece]) -> list[str]:
            batches.append(list(batch))
            await asyncio.sleep(RUN_S)
            return [piece.name for piece in batch]

        batcher = Batcher(decode, BOUNDS)
        made = [Piece(str(n), group, cost) for n, (_, group, cost) in enumerate(asked)]
        waits = [
            (batcher.final if final else batcher.partial)(lambda p=piece: p)
            for piece, (final, _, _) in zip(made, asked, strict=True)
        ]
        assert [d.result for d in await asyncio.gather(*waits)] == [p.name for p in made]
        assert sorted(int(p.name) for batch in batches for p in batch) == list(range(len(made)))
        for batch in batches:
            assert len(batch) <= BOUNDS.items and len({p.group for p in batch}) == 1
            assert len(batch) == 1 or len(batch) * max(p.cost for p in batch) <= BOUNDS.cost
        ranks = [asked[int(batch[0].name)][0] for batch in batches]
        assert ranks == sorted(ranks, reverse=True)  # all finals, then all partials

    run(work())
