"""A call's session with Whisper on virtual time: when it decodes, what it tells, what it drops."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from appliance.audio import bytes_of, ms_of, silence
from appliance.models.engine import UnknownContext, UnknownLanguage, Words
from appliance.models.whisper import (
    CAPACITY,
    MOST_PROMPT_TOKENS,
    PARTIAL_EVERY_MS,
    Decoded,
    WhisperEngine,
    WhisperSession,
    without_loops,
    words_of,
)
from tests.virtualtime import run

RATE_HZ = 8000
FRAME_MS = 20
FRAME = silence(FRAME_MS, RATE_HZ)
CONTEXT = "agent.1.1"


class FakeModel:
    """Says how many ms it was given; takes ``decode_s``, and notes every decode."""

    multilingual = True

    def __init__(self, device: str = "cuda", decode_s: float = 0.1) -> None:
        self.device = device
        self.decode_s = decode_s
        self.decodes: list[tuple[int, str, str]] = []
        self.running = 0
        self.fails = False

    def speaks(self, language: str) -> bool:
        return language in ("en", "hi")

    def tokens(self, text: str) -> int:
        return len(text)

    async def decode(self, pcm: bytes, rate_hz: int, language: str, prompt: str) -> Decoded:
        self.running += 1
        assert self.running == 1, "two decodes at once"
        await asyncio.sleep(self.decode_s)
        self.running -= 1
        if self.fails:
            raise RuntimeError("CUDA failed with error out of memory")
        ms = ms_of(len(pcm), rate_hz)
        self.decodes.append((ms, language, prompt))
        return Decoded(f"{ms} ms", -0.1, 0.0)

    @property
    def decoded_ms(self) -> list[int]:
        return [ms for ms, _, _ in self.decodes]


def taught(model: FakeModel, text: str = "") -> WhisperEngine:
    """An engine that knows ``CONTEXT``; built on real time, for it takes a thread."""
    engine = WhisperEngine(model)
    asyncio.run(engine.build_context(CONTEXT, "en", [text]))
    return engine


def on_a_call(
    model: FakeModel, work: Callable[[WhisperSession], Awaitable[None]], *, text: str = ""
) -> None:
    engine = taught(model, text)

    async def call() -> None:
        await work(engine.open(CONTEXT, "hi-IN", RATE_HZ))

    run(call())


async def speak(session: WhisperSession, ms: int) -> list[str]:
    """Audio in real time; the partials that came."""
    said = []
    for _ in range(ms // FRAME_MS):
        text = await session.accept(FRAME)
        if text is not None:
            said.append(text)
        await asyncio.sleep(FRAME_MS / 1000)
    return said


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_partials_come_every_so_often_and_the_final_has_it_all(device: str) -> None:
    model = FakeModel(device)
    every = PARTIAL_EVERY_MS[device]

    async def work(session: WhisperSession) -> None:
        session.start()
        said = await speak(session, 4 * every + 200)
        assert said == [f"{ms} ms" for ms in model.decoded_ms]
        assert len(said) == 4
        assert model.decoded_ms[0] == every
        assert await session.finish() == Words(f"{4 * every + 200} ms", round(math.exp(-0.1), 3))

    on_a_call(model, work)


def test_a_slow_model_has_one_decode_of_a_call_at_a_time() -> None:
    model = FakeModel(decode_s=1.3)

    async def work(session: WhisperSession) -> None:
        session.start()
        said = await speak(session, 5000)
        assert [int(text.split()[0]) for text in said] == model.decoded_ms
        steps = [b - a for a, b in zip(model.decoded_ms, model.decoded_ms[1:], strict=False)]
        assert steps and all(1300 <= step <= 1400 for step in steps)

    on_a_call(model, work)


def test_taking_audio_never_waits_for_a_decode() -> None:
    async def work(session: WhisperSession) -> None:
        session.start()
        for _ in range(200):
            await session.accept(FRAME)
        assert asyncio.get_running_loop().time() == 0

    on_a_call(FakeModel(decode_s=5), work)


def test_a_final_overtakes_other_calls_partials() -> None:
    model = FakeModel(decode_s=1)
    engine = taught(model)

    async def work() -> None:
        calls = [engine.open(CONTEXT, "en", RATE_HZ) for _ in range(5)]
        for call in calls:
            call.start()
            await call.accept(silence(600, RATE_HZ))  # each has a partial running or waiting
        await asyncio.sleep(0.5)
        await calls[4].accept(silence(100, RATE_HZ))
        assert (await calls[4].finish()).text == "700 ms"
        assert asyncio.get_running_loop().time() <= 2
        assert model.decoded_ms == [600, 700]

    run(work())


def test_a_partial_hears_what_came_while_it_waited() -> None:
    model = FakeModel(decode_s=1)
    engine = taught(model)

    async def work() -> None:
        busy, call = (engine.open(CONTEXT, "en", RATE_HZ) for _ in range(2))
        busy.start()
        await busy.accept(silence(1000, RATE_HZ))
        call.start()
        await speak(call, 2600)
        assert model.decoded_ms[0] == 1000
        assert model.decoded_ms[1] == pytest.approx(1000, abs=40)  # not the 500 it asked with

    run(work())


def test_a_new_start_drops_the_old_utterance_and_its_partial() -> None:
    model = FakeModel(decode_s=0.4)

    async def work(session: WhisperSession) -> None:
        session.start()
        await speak(session, 600)  # its decode is under way
        session.start()
        assert await speak(session, 480) == []
        assert (await session.finish()).text == "480 ms"

    on_a_call(model, work)


def test_less_than_a_word_is_not_decoded() -> None:
    model = FakeModel()

    async def work(session: WhisperSession) -> None:
        session.start()
        assert await session.finish() == Words("", 0.0)
        session.start()
        await session.accept(silence(80, RATE_HZ))
        assert await session.finish() == Words("", 0.0)
        assert model.decodes == []

    on_a_call(model, work)


def test_a_model_that_fails_fails_the_session() -> None:
    model = FakeModel()
    model.fails = True

    async def work(session: WhisperSession) -> None:
        session.start()
        with pytest.raises(RuntimeError, match="out of memory"):
            await speak(session, 1000)
        session.start()
        await session.accept(silence(400, RATE_HZ))
        with pytest.raises(RuntimeError, match="out of memory"):
            await session.finish()

    on_a_call(model, work)


def test_a_final_that_hangs_is_given_up() -> None:
    async def work(session: WhisperSession) -> None:
        session.start()
        await session.accept(silence(400, RATE_HZ))
        with pytest.raises(TimeoutError):
            await session.finish()

    on_a_call(FakeModel(decode_s=1e6), work)


def test_the_language_is_the_calls_and_the_prompt_the_agents() -> None:
    model = FakeModel()

    async def work(session: WhisperSession) -> None:
        session.start()
        await session.accept(silence(400, RATE_HZ))
        await session.finish()
        assert model.decodes == [(400, "hi", "Pune, Nashik")]

    on_a_call(model, work, text="we are in Pune and Nashik")


async def test_the_prompt_is_made_of_the_knowledge_and_bounded() -> None:
    model = FakeModel(decode_s=0)
    engine = WhisperEngine(model)
    names = ", ".join(f"City{letter}{letter}" for letter in "ABCDEFGHIJKLMNOP")
    stats = await engine.build_context(CONTEXT, "en", [f"we are in {names}"])
    session = engine.open(CONTEXT, "en", RATE_HZ)
    session.start()
    await session.accept(silence(400, RATE_HZ))
    await session.finish()
    prompt = model.decodes[0][2]
    assert prompt.startswith("CityAA, CityBB")
    assert model.tokens(prompt) <= MOST_PROMPT_TOKENS
    assert stats.words == len(prompt.split(", ")) > 1


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


def test_an_english_checkpoint_says_so() -> None:
    model = FakeModel("cpu")
    model.multilingual = False
    engine = WhisperEngine(model)
    assert (engine.languages, engine.capacity) == (("en",), CAPACITY["cpu"])


@pytest.mark.parametrize(
    ("decoded", "words"),
    [
        (Decoded("Thank you.", -1.4, 0.9), Words("", 0.0)),  # silence
        (Decoded("Thank you.", -0.3, 0.9), Words("Thank you.", 0.741)),  # sure of the words
        (Decoded("mumble", -1.4, 0.2), Words("mumble", 0.247)),  # noisy speech
        (Decoded("", -0.1, 0.0), Words("", 0.0)),
        (Decoded("yes", 0.01, 0.0), Words("yes", 1.0)),
    ],
)
def test_what_whisper_makes_up_in_silence_is_dropped(decoded: Decoded, words: Words) -> None:
    assert words_of(decoded) == words


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("no, no, no, no", "no, no, no, no"),
        ("my bill bill bill bill bill bill", "my bill"),
        ("I see. " * 5 + "So what", "I see. So what"),
        ("zero 9 9 9 9 9 9 4", "zero 9 9 9 9 9 9 4"),
        ("- - - - - - yes", "- yes"),
        ("क्या है " * 9, "क्या है"),
        ("", ""),
    ],
)
def test_loops_are_said_once(text: str, kept: str) -> None:
    assert without_loops(text) == kept


def test_an_utterance_of_30_s_stays_in_one_piece() -> None:
    model = FakeModel()

    async def work(session: WhisperSession) -> None:
        session.start()
        await session.accept(bytes(bytes_of(30_000, RATE_HZ)))
        assert (await session.finish()).text == "30000 ms"

    on_a_call(model, work)
