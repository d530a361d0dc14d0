"""A call's session on virtual time: when it decodes, what it shows, what costs nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from appliance.audio import bytes_of, silence
from appliance.models.batching import Batcher, Bounds, Stuck
from appliance.models.engine import Words
from appliance.models.session import FIRST_QUIET_MS, BatchedSession
from tests.virtualtime import run

RATE_HZ = 8000
FRAME_MS = 20
EVERY_MS = 300
RUN_S = 0.05
NAMES = "one two three four five six seven eight nine ten".split()


def voice(ms: int) -> bytes:
    draw = np.random.default_rng(1).normal(0, 3000, ms * RATE_HZ // 1000)
    return draw.astype("<i2").tobytes()


@dataclass(frozen=True)
class Piece:
    audio_ms: int
    whole: bool
    group: int = 0
    cost: float = 1.0


class Spoken:
    """An utterance whose words last 400 ms each; the last is heard wrong until it is over."""

    def __init__(self) -> None:
        self.bytes = 0

    def feed(self, pcm: bytes) -> None:
        self.bytes += len(pcm)

    def item(self, audio_ms: int, whole: bool) -> Piece:
        return Piece(audio_ms, whole)

    def take(self, item: Piece, result: str, sound_ms: int) -> str:
        return result

    async def words(self, item: Piece, result: str, sound_ms: int) -> Words:
        return Words(result, 1.0)


@dataclass
class Model:
    run_s: float = RUN_S
    pieces: list[Piece] = field(default_factory=list)
    fails: bool = False

    async def decode(self, pieces: Sequence[Piece]) -> list[str]:
        self.pieces += pieces
        await asyncio.sleep(self.run_s)
        if self.fails:
            raise RuntimeError("broken")
        return [heard(piece) for piece in pieces]

    @property
    def at_ms(self) -> list[int]:
        return [piece.audio_ms for piece in self.pieces]


def heard(piece: Piece) -> str:
    whole, rest = divmod(min(piece.audio_ms, 4000), 400)
    guess = [f"um{piece.audio_ms}"] if rest and not piece.whole else []
    return " ".join([*NAMES[:whole], *guess])


def batcher_of(model: Model, waiting: int = 8) -> Batcher[Piece, str]:
    return Batcher(model.decode, Bounds(items=8, cost=100, waiting=waiting, run_s=10))


def on_a_call(model: Model, work: Callable[[BatchedSession[Piece, str]], Awaitable[None]]) -> None:
    async def call() -> None:
        await work(BatchedSession(Spoken, batcher_of(model), EVERY_MS, RATE_HZ))

    run(call())


async def hear(session: BatchedSession[Piece, str], pcm: bytes) -> list[str]:
    """Audio in real time; what was shown whenever that was told."""
    shown = []
    step = bytes_of(FRAME_MS, RATE_HZ)
    for at in range(0, len(pcm), step):
        text = await session.accept(pcm[at : at + step])
        if text is not None:
            shown.append(text)
        await asyncio.sleep(FRAME_MS / 1000)
    return shown


def test_partials_come_every_so_often_and_show_what_two_agree_on() -> None:
    model = Model()

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        shown = await hear(session, voice(2000))
        assert model.at_ms == [300, 600, 900, 1200, 1500, 1800]
        assert shown == ["", "", "one", "one two", "one two three", "one two three"]

    on_a_call(model, work)


def test_when_the_sound_ends_everything_is_decoded_shown_and_final_at_no_cost() -> None:
    model = Model()

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        await hear(session, voice(800))
        shown = await hear(session, silence(200, RATE_HZ))
        assert shown[-1] == "one two"  # both words, though no two hypotheses had the second
        assert model.pieces[-1] == Piece(800 + FIRST_QUIET_MS, True)
        ran = len(model.pieces)
        await hear(session, silence(400, RATE_HZ))
        before_s = asyncio.get_running_loop().time()
        assert await session.finish() == Words("one two", 1.0)
        assert asyncio.get_running_loop().time() == before_s
        assert len(model.pieces) == ran

    on_a_call(model, work)


def test_a_final_is_ready_50_ms_after_the_sound_and_shown_when_it_has_ended() -> None:
    model = Model(run_s=0.025)

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        await hear(session, voice(820))
        await asyncio.sleep(-asyncio.get_running_loop().time() % 0.02)
        began_s = asyncio.get_running_loop().time()
        shown = await hear(session, silence(60, RATE_HZ))
        assert shown == ["one two"]
        best = session.best
        assert best is not None and best.item == Piece(820 + FIRST_QUIET_MS, True)
        assert asyncio.get_running_loop().time() - began_s <= 0.061

    on_a_call(model, work)


def test_the_stops_within_words_are_not_all_decoded() -> None:
    """Ten in a second and a half: what is decoded in hope is what a partial would have been."""
    model = Model(run_s=0.01)

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        await hear(session, (voice(120) + silence(20, RATE_HZ)) * 10)
        assert len(model.pieces) <= 1400 / 200

    on_a_call(model, work)


def test_who_finishes_while_the_last_decode_runs_waits_for_no_other() -> None:
    model = Model(run_s=0.5)

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        await hear(session, voice(200))
        await hear(session, silence(100, RATE_HZ))
        assert (await session.finish()).text == ""
        assert model.pieces == [Piece(200 + FIRST_QUIET_MS, True)]

    on_a_call(model, work)


def test_who_goes_on_after_a_pause_is_heard_again() -> None:
    model = Model()

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        await hear(session, voice(800) + silence(200, RATE_HZ))
        shown = await hear(session, voice(600) + silence(200, RATE_HZ))
        assert all(text.startswith("one two") for text in shown)
        assert (await session.finish()).text == "one two three four"
        assert model.pieces[-1].audio_ms == 1600 + FIRST_QUIET_MS

    on_a_call(model, work)


def test_who_finishes_in_mid_word_gets_everything_decoded() -> None:
    model = Model()

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        await hear(session, voice(840))
        assert (await session.finish()).text == "one two"
        assert model.pieces[-1] == Piece(840, True)

    on_a_call(model, work)


def test_an_utterance_sent_at_once_is_decoded_once() -> None:
    """As another worker's server had it when it died."""
    model = Model()

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        await session.accept(voice(1200) + silence(200, RATE_HZ))
        assert (await session.finish()).text == "one two three"
        assert model.pieces == [Piece(1400, True)]

    on_a_call(model, work)


def test_a_slow_model_is_asked_less_often() -> None:
    model = Model(run_s=0.8)

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        await hear(session, voice(6000))
        steps = [b - a for a, b in zip(model.at_ms, model.at_ms[1:], strict=False)]
        assert min(steps) >= 1200 and len(steps) >= 3

    on_a_call(model, work)


def test_silence_costs_nothing_and_has_no_words() -> None:
    model = Model()

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        await hear(session, silence(3000, RATE_HZ))
        assert await session.finish() == Words("", 0.0)
        session.start()
        assert await session.finish() == Words("", 0.0)
        assert model.pieces == []

    on_a_call(model, work)


def test_a_final_overtakes_the_partials_of_others() -> None:
    model = Model(run_s=1)

    async def work() -> None:
        batcher = batcher_of(model)
        calls = [BatchedSession(Spoken, batcher, EVERY_MS, RATE_HZ) for _ in range(5)]
        for call in calls:
            call.start()
            await call.accept(voice(600))  # the first's partial runs, the others' wait
            await asyncio.sleep(0.01)
        await calls[4].accept(voice(200))
        assert (await calls[4].finish()).text == "one two"
        assert asyncio.get_running_loop().time() == 2
        assert model.pieces == [Piece(600, False), Piece(800, True)]

    run(work())


def test_a_new_start_drops_what_was_asked_for() -> None:
    model = Model(run_s=0.2)

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        await hear(session, voice(320))
        session.start()
        assert await hear(session, voice(280)) == []
        assert (await session.finish()).text == ""
        session.close()

    on_a_call(model, work)


def test_a_crowd_costs_partials_not_finals() -> None:
    async def work() -> None:
        batcher = batcher_of(Model(run_s=1), waiting=3)
        calls = [BatchedSession(Spoken, batcher, EVERY_MS, RATE_HZ) for _ in range(6)]
        for call in calls:
            call.start()
            await call.accept(voice(800))
            await asyncio.sleep(0)
        finals = await asyncio.gather(*(call.finish() for call in calls[:3]))
        assert [words.text for words in finals] == ["one two"] * 3

    run(work())


@pytest.mark.parametrize("when", ["partial", "final"])
def test_a_model_that_fails_fails_the_session(when: str) -> None:
    model = Model(fails=True)

    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        with pytest.raises(RuntimeError, match="broken"):
            await hear(session, voice(900 if when == "partial" else 200))
            await session.finish()

    on_a_call(model, work)


def test_a_model_that_hangs_is_given_up() -> None:
    async def work(session: BatchedSession[Piece, str]) -> None:
        session.start()
        await session.accept(voice(200))
        with pytest.raises(Stuck):
            await session.finish()

    on_a_call(Model(run_s=1e6), work)
