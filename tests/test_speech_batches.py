"""Batches on virtual time: a model that takes as long as it says, everything else is real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from appliance.models.chunk_plan import Window
from appliance.models.model_watch import ModelWatch
from appliance.models.shaping import Wave
from appliance.models.speech_batches import MOST_AHEAD, SpeechBatches
from appliance.models.speech_model import DeviceLost, Letters, Spectrogram
from appliance.models.speech_schedule import CPU, GPU, SINGLY, Limits
from tests.virtualtime import run

FRAMES_A_LETTER = 6
FRAME_S = 0.0116
POISON = 666


@dataclass
class Timed:
    """Speaks each letter as six frames of its own number; counts what it was asked for."""

    batch_s: float = 0.008
    row_s: float = 0.0005
    reach: int = 13
    frame_s: float = FRAME_S
    fails: Callable[[Sequence[Any]], Exception | None] = lambda batch: None
    batches: list[tuple[str, int]] = field(default_factory=list)
    took_s: float = 0.0

    def letters(self, text: str, speaker: str) -> Letters:
        return Letters(tuple(map(ord, text)), speaker)

    def spectrograms(self, batch: Sequence[Letters]) -> list[Spectrogram]:
        self._work("text", batch)
        made = [np.repeat(np.array(letters.ids), FRAMES_A_LETTER) for letters in batch]
        return [Spectrogram(data, len(data)) for data in made]

    def waves(self, batch: Sequence[tuple[Spectrogram, Window]]) -> list[Wave]:
        self._work("sound", batch)
        return [
            spectrogram.data[window.keep_from : window.keep_to].astype(np.float32)
            for spectrogram, window in batch
        ]

    def _work(self, kind: str, batch: Sequence[Any]) -> None:
        self.batches.append((kind, len(batch)))
        self.took_s = self.batch_s + self.row_s * len(batch)
        if error := self.fails(batch):
            raise error


@dataclass
class Heard:
    """What a listener got, and when."""

    sound: list[float] = field(default_factory=list)
    first_s: float = 0.0
    gaps: int = 0
    error: Exception | None = None


def batches_of(
    model: Timed, limits: Limits = GPU, watch: ModelWatch | None = None
) -> SpeechBatches:
    async def execute(compute: Callable[[], Any]) -> Any:
        try:
            return compute()
        finally:
            await asyncio.sleep(model.took_s)

    return SpeechBatches({"hi": model}, execute, watch or ModelWatch(), limits)


async def listen(batches: SpeechBatches, model: Timed, *texts: str, after: float = 0) -> Heard:
    await asyncio.sleep(after)
    heard, began = Heard(), asyncio.get_running_loop().time()
    played_until = 0.0
    letters = [model.letters(text, "female") for text in texts]
    try:
        async with aclosing(batches.speak("hi", letters)) as waves:
            async for wave in waves:
                now = asyncio.get_running_loop().time()
                if not heard.sound:
                    heard.first_s, played_until = now - began, now
                elif now > played_until + 1e-6:
                    heard.gaps += 1
                played_until = max(now, played_until) + len(wave) * FRAME_S
                heard.sound += wave.tolist()
    except RuntimeError as e:
        heard.error = e
    except DeviceLost as e:
        heard.error = e
    return heard


def spoken(*texts: str) -> list[float]:
    return [float(ord(c)) for text in texts for c in text for _ in range(FRAMES_A_LETTER)]


def test_a_phrase_of_several_pieces_comes_whole_and_in_order() -> None:
    model = Timed()
    heard = run(listen(batches_of(model), model, "नमस्ते दुनिया" * 5, "ok", "ठीक"))
    assert heard.sound == spoken("नमस्ते दुनिया" * 5, "ok", "ठीक")
    assert heard.gaps == 0


def test_nothing_to_say_ends_at_once() -> None:
    model = Timed()
    assert run(listen(batches_of(model), model)).sound == []


def test_sixteen_phrases_go_together_and_each_gets_its_own() -> None:
    model = Timed()
    texts = [chr(97 + n) * (5 + n) for n in range(16)]

    async def all_of_them() -> list[Heard]:
        batches = batches_of(model)
        heard = await asyncio.gather(*(listen(batches, model, text) for text in texts))
        assert len(batches) == 0
        return heard

    heard = run(all_of_them())
    assert [each.sound for each in heard] == [spoken(text) for text in texts]
    assert max(rows for _, rows in model.batches) >= 15


async def busy(
    model: Timed, limits: Limits, streams: int, seconds: float
) -> tuple[float, list[Heard]]:
    """Streams that never pause; seconds of speech made in a second."""
    batches, loop = batches_of(model, limits), asyncio.get_running_loop()
    all_heard: list[Heard] = []

    async def stream(number: int) -> None:
        while loop.time() < seconds:
            all_heard.append(await listen(batches, model, "x" * (10 + number % 7 * 8)))

    await asyncio.gather(*(stream(number) for number in range(streams)))
    return sum(len(h.sound) for h in all_heard) * FRAME_S / loop.time(), all_heard


def test_batching_carries_many_times_the_streams_where_a_batch_costs_little_more_than_one() -> None:
    alone, _ = run(busy(Timed(), SINGLY, 16, 5.0))
    together, _ = run(busy(Timed(), GPU, 16, 5.0))
    assert together > 6 * alone


def test_a_first_sound_is_quick_while_long_texts_are_spoken() -> None:
    model = Timed(batch_s=0.03, row_s=0.01)

    async def one_among_long_ones() -> tuple[Heard, list[Heard]]:
        batches = batches_of(model)
        long = [asyncio.create_task(listen(batches, model, *["long text " * 12] * 4))
                for _ in range(8)]  # fmt: skip
        short = await listen(batches, model, "hello", after=0.7)
        return short, list(await asyncio.gather(*long))

    short, long = run(one_among_long_ones())
    assert short.first_s < 0.3
    assert [each.gaps for each in long] == [0] * 8


def test_who_hangs_up_leaves_the_batches() -> None:
    model = Timed(batch_s=0.05)

    async def hang_up() -> None:
        batches = batches_of(model)
        task = asyncio.create_task(listen(batches, model, "x" * 150, "y" * 150))
        await asyncio.sleep(0.12)
        task.cancel()
        await asyncio.sleep(0)
        assert len(batches) == 0
        done = len(model.batches)
        await asyncio.sleep(2)
        assert len(model.batches) <= done
        assert (await listen(batches, model, "again")).sound == spoken("again")

    run(hang_up())


def test_a_batch_that_fails_fails_only_whom_it_must() -> None:
    def fails(batch: Sequence[Any]) -> Exception | None:
        bad = any(isinstance(each, Letters) and POISON in each.ids for each in batch)
        return RuntimeError("bad phrase") if bad else None

    model = Timed(fails=fails)

    async def three() -> list[Heard]:
        batches = batches_of(model)
        return await asyncio.gather(
            *(listen(batches, model, text) for text in ("one", chr(POISON), "three"))
        )

    one, two, three_ = run(three())
    assert one.sound == spoken("one")
    assert three_.sound == spoken("three")
    assert str(two.error) == "bad phrase"


def test_a_batch_too_large_for_the_memory_is_done_one_by_one() -> None:
    model = Timed(fails=lambda batch: RuntimeError("out of memory") if len(batch) > 1 else None)

    async def four() -> list[Heard]:
        batches = batches_of(model)
        return await asyncio.gather(*(listen(batches, model, "abc") for _ in range(4)))

    assert [each.sound for each in run(four())] == [spoken("abc")] * 4


def test_a_lost_device_is_told_and_nobody_waits_for_ever() -> None:
    watch, model = ModelWatch(), Timed(fails=lambda batch: DeviceLost("CUDA error: gone"))

    async def two() -> list[Heard]:
        batches = batches_of(model, watch=watch)
        return await asyncio.gather(*(listen(batches, model, "abc") for _ in range(2)))

    assert all(isinstance(each.error, DeviceLost) for each in run(two()))
    assert "gone" in watch.lost


def test_a_listener_who_does_not_fetch_holds_nobody_up_and_costs_a_bounded_part() -> None:
    model = Timed()

    async def slow_reader() -> None:
        batches = batches_of(model)
        texts = [model.letters("x" * 150, "female") for _ in range(10)]
        async with aclosing(batches.speak("hi", texts)) as waves:
            await anext(waves)
            await asyncio.sleep(5)
            assert (await listen(batches, model, "other")).sound == spoken("other")
            made = sum(kind == "sound" for kind, _ in model.batches)
            assert made <= MOST_AHEAD + 4
            rest = [wave async for wave in waves]
        assert sum(map(len, rest)) > 8000

    run(slow_reader())


@pytest.mark.parametrize("limits", [SINGLY, CPU, GPU])
def test_calls_at_their_own_pace_hear_no_gap(limits: Limits) -> None:
    model = Timed(batch_s=0.004, row_s=0.001)

    async def paced() -> list[Heard]:
        batches = batches_of(model, limits)
        return await asyncio.gather(
            *(listen(batches, model, "text " * 20, "more " * 20, after=n * 0.05) for n in range(20))
        )

    heard = run(paced())
    assert [each.gaps for each in heard] == [0] * 20
