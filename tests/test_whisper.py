"""Whisper's engine: contexts, languages, what it asks of the model; the session has tests of its
own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from appliance.audio import silence
from appliance.errors import UserError
from appliance.models.engine import ModelOptions, UnknownContext, UnknownLanguage
from appliance.models.guards import Decoded
from appliance.models.whisper import (
    BATCH_ITEMS,
    CAPACITY,
    MOST_PROMPT_TOKENS,
    PROMPT_GRAIN_TOKENS,
    WhisperEngine,
    Window,
)

RATE_HZ = 8000
CONTEXT = "agent.1.1"


class FakeModel:
    """Says how many ms it was given, and notes every batch. A letter is a token."""

    multilingual = True
    mels = 80

    def __init__(self, device: str = "cuda") -> None:
        self.device = device
        self.batches: list[list[Window]] = []

    def speaks(self, language: str) -> bool:
        return language in ("en", "hi")

    def tokens(self, text: str) -> tuple[int, ...]:
        return tuple(map(ord, text))

    async def decode(self, windows: Sequence[Window]) -> list[Decoded]:
        self.batches.append(list(windows))
        await asyncio.sleep(0)
        return [Decoded(f"{window.audio_ms} ms", -0.1, 0.0) for window in windows]


def voice(ms: int) -> bytes:
    draw = np.random.default_rng(1).normal(0, 3000, ms * RATE_HZ // 1000)
    return draw.astype("<i2").tobytes()


def prompt_of(window: Window) -> str:
    return "".join(map(chr, window.prompt))


async def say(engine: WhisperEngine, ms: int, language: str = "hi-IN", name: str = CONTEXT) -> str:
    session = engine.open(name, language, RATE_HZ)
    session.start()
    await session.accept(voice(ms))
    return (await session.finish()).text


async def test_the_language_is_the_calls_and_the_prompt_the_agents() -> None:
    model = FakeModel()
    engine = WhisperEngine(model)
    stats = await engine.build_context(CONTEXT, "hi", ["we are in Pune and Nashik and in Pune"])
    assert stats.words == 2
    assert await say(engine, 400) == "400 ms"
    [[window]] = model.batches
    assert (window.language, prompt_of(window)) == ("hi", "Nashik, Pune")  # the frequent last
    assert len(window.pcm) == 400 * 16


async def test_calls_of_any_language_and_agent_share_a_batch_when_their_prompts_are_equal() -> None:
    model = FakeModel()
    engine = WhisperEngine(model)
    await engine.build_context(CONTEXT, "hi", [])
    await engine.build_context("other.1.1", "en", [])
    await engine.build_context("third.1.1", "en", ["we are in Pune"])
    said = await asyncio.gather(
        say(engine, 400),
        say(engine, 500),
        say(engine, 600, "en", "other.1.1"),
        say(engine, 700, "en", "third.1.1"),
    )
    assert said == ["400 ms", "500 ms", "600 ms", "700 ms"]
    sizes = [[(w.audio_ms, w.language) for w in batch] for batch in model.batches]
    assert sizes == [[(400, "hi"), (500, "hi"), (600, "en")], [(700, "en")]]


async def test_prompts_are_bounded_and_of_few_lengths() -> None:
    model = FakeModel()
    engine = WhisperEngine(model)
    for number in range(1, 17):
        names = ", ".join(f"City{letter * number}" for letter in "ABCDEFGHIJKLMNOP"[:number])
        stats = await engine.build_context(CONTEXT, "en", [f"we are in {names}"])
        assert stats.words >= 1
        await say(engine, 400, "en")
    lengths = {window.group for [window] in model.batches}
    assert all(
        length <= PROMPT_GRAIN_TOKENS or length % PROMPT_GRAIN_TOKENS == 0 for length in lengths
    )
    assert max(lengths) <= MOST_PROMPT_TOKENS
    assert len(lengths) > 2


async def test_what_is_longer_than_30_s_is_not_heard() -> None:
    model = FakeModel()
    engine = WhisperEngine(model)
    await engine.build_context(CONTEXT, "en", [])
    await say(engine, 31_000, "en")
    assert len(model.batches[-1][0].pcm) == 30_000 * 16


async def test_what_cannot_be_opened_is_refused() -> None:
    engine = WhisperEngine(FakeModel())
    assert (engine.languages, engine.capacity) == (("*",), CAPACITY["cuda"])
    with pytest.raises(UnknownLanguage):
        await engine.build_context(CONTEXT, "or", [])
    await engine.build_context(CONTEXT, "en-IN", [])
    with pytest.raises(UnknownLanguage):
        engine.open(CONTEXT, "or-IN", RATE_HZ)
    with pytest.raises(UnknownContext):
        engine.open("other.1.1", "en", RATE_HZ)


async def test_the_options_say_what_is_offered_and_how_much() -> None:
    engine = WhisperEngine(FakeModel("cpu"), ModelOptions(languages=("hi",), capacity=7))
    assert (engine.languages, engine.capacity) == (("hi",), 7)
    await engine.build_context(CONTEXT, "hi-IN", [])
    with pytest.raises(UnknownLanguage):  # the model could; it is not offered here
        engine.open(CONTEXT, "en", RATE_HZ)
    with pytest.raises(UserError, match=r"has not learnt 'or'.*another engine"):
        WhisperEngine(FakeModel(), ModelOptions(languages=("hi", "or")))


def test_an_english_checkpoint_says_so() -> None:
    model = FakeModel("cpu")
    model.multilingual = False
    engine = WhisperEngine(model)
    assert (engine.languages, engine.capacity) == (("en",), CAPACITY["cpu"])


async def test_silence_is_not_decoded() -> None:
    model = FakeModel()
    engine = WhisperEngine(model)
    await engine.build_context(CONTEXT, "en", [])
    session = engine.open(CONTEXT, "en", RATE_HZ)
    session.start()
    await session.accept(silence(2000, RATE_HZ))
    assert (await session.finish()).text == ""
    assert model.batches == []


async def test_many_calls_at_once_are_decoded_in_few_runs() -> None:
    model = FakeModel()
    engine = WhisperEngine(model)
    await engine.build_context(CONTEXT, "en", [])
    said = await asyncio.gather(*(say(engine, 1000 + 20 * n, "en") for n in range(40)))
    assert said == [f"{1000 + 20 * n} ms" for n in range(40)]
    assert len(model.batches) <= 40 / BATCH_ITEMS["cuda"] + 1
