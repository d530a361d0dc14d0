"""Wav2Vec2's engine with a model that is exact: what it hears does not depend on how it is cut."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from appliance.audio import bytes_of, silence
from appliance.errors import UserError
from appliance.models.ctc import Letters, LogProbs
from appliance.models.ctc_chunks import Grid
from appliance.models.engine import ModelOptions, UnknownContext, UnknownLanguage
from appliance.models.wav2vec2 import LEFT_MS, PARTIAL_EVERY_MS, RIGHT_MS, Part, Wav2Vec2Engine
from tests.virtualtime import run

RATE_HZ = 8000
CONTEXT = "agent.1.1"
OPTIONS = ModelOptions(languages=("hi",))
LEVELS = "अआइईउऊएऐ"
STEP = 1000
"""Samples of 16 bit between one letter's level and the next one's."""


class Reader:
    """Hears a letter in the level of a frame: without context, so that chunks must fit exactly."""

    device = "cuda"
    grid = Grid(320, 400)
    letters = Letters(("<pad>", "<s>", "|", *LEVELS), 0, 2, frozenset({1}))

    def __init__(self, *, equal_lengths: bool = False, language_model: bool = False) -> None:
        self.equal_lengths = equal_lengths
        self.batches: list[list[Part]] = []
        self.searched: list[tuple[str, ...]] = []
        self._language_model = language_model

    async def decode(self, parts: Sequence[Part]) -> list[LogProbs]:
        self.batches.append(list(parts))
        await asyncio.sleep(0.02)
        return [self._frames(part) for part in parts]

    def _frames(self, part: Part) -> LogProbs:
        wave = part.samples() * part.deviation + part.mean
        count = self.grid.frames(len(wave))
        rows = np.full((count, len(self.letters.labels)), -9.0, np.float32)
        for frame in range(count):
            middle = wave[frame * 320 + 40 : frame * 320 + 360]
            level = round(float(np.abs(middle).max()) * 32768 / STEP)
            rows[frame, 2 + level if level else 0] = -0.1
        return rows

    async def search(self, frames: LogProbs, hot_words: Sequence[str]) -> str | None:
        self.searched.append(tuple(hot_words))
        return "खोजा" if self._language_model else None


def spoken(text: str, ms: int = 200) -> bytes:
    """Each letter as a tone of its own level, with a pause after it."""
    n = RATE_HZ * ms // 1000
    wave: list[np.ndarray] = []
    for letter in text:
        level = STEP * (LEVELS.index(letter) + 1)
        wave += [np.where(np.arange(n) // 4 % 2, level, -level), np.zeros(n // 2)]
    return np.concatenate(wave).astype("<i2").tobytes()


def engine_of(model: Reader, texts: Sequence[str] = ()) -> Wav2Vec2Engine:
    engine = Wav2Vec2Engine(model, OPTIONS)
    asyncio.run(engine.build_context(CONTEXT, "hi-IN", texts))
    return engine


async def say(engine: Wav2Vec2Engine, pcm: bytes) -> tuple[list[str], str]:
    """In real time: what was shown, and the final."""
    session = engine.open(CONTEXT, "hi", RATE_HZ)
    session.start()
    shown = []
    for at in range(0, len(pcm), 320):
        text = await session.accept(pcm[at : at + 320])
        shown += [text] if text else []
        await asyncio.sleep(0.02)
    return shown, (await session.finish()).text


def test_an_utterance_heard_in_parts_is_heard_whole() -> None:
    text = "अआइईउऊएऐ" * 4  # 9.6 s: longer than the left context

    async def work(engine: Wav2Vec2Engine, pcm: bytes) -> None:
        _, final = await say(engine, pcm)
        assert final == text

    model = Reader()
    run(work(engine_of(model), spoken(text)))
    lengths_ms = [part.cost for batch in model.batches for part in batch]
    longest_ms = LEFT_MS["cuda"] + RIGHT_MS + 2 * PARTIAL_EVERY_MS["cuda"]
    assert max(lengths_ms) <= longest_ms  # whatever the utterance's length
    assert len(lengths_ms) > 15


def test_partials_grow_and_the_final_was_decoded_when_the_sound_ended() -> None:
    model = Reader()
    engine = engine_of(model)

    async def work() -> None:
        pcm = spoken("अआइई", ms=400) + silence(300, RATE_HZ)
        shown, final = await say(engine, pcm)
        assert final == "अआइई" == shown[-1]
        assert model.batches[-1][0].whole
        assert model.batches[-1][0].audio_ms < 2500  # well before the end of the silence

    run(work())


def test_calls_of_any_length_share_batches_unless_the_model_may_not_be_padded() -> None:
    async def work(engine: Wav2Vec2Engine) -> None:
        said = await asyncio.gather(*(say(engine, spoken("अआइई"[:n])) for n in (1, 2, 3, 4)))
        assert [final for _, final in said] == ["अ", "अआ", "अआइ", "अआइई"]

    for equal in (False, True):
        model = Reader(equal_lengths=equal)
        run(work(engine_of(model)))
        assert max(map(len, model.batches)) > 1
        for batch in model.batches:
            lengths = {len(part.pcm) for part in batch}
            assert len(lengths) == 1 or not equal


def test_a_final_is_searched_with_the_agents_names_that_it_can_spell() -> None:
    model = Reader(language_model=True)
    engine = engine_of(model, ["आइऊ अउ आइऊ", "the ईउऊएऐ of आइऊ ईउऊएऐ Pune"])

    async def work() -> None:
        shown, final = await say(engine, spoken("अआ") + silence(200, RATE_HZ))
        assert final == "खोजा"
        assert shown[-1] == "अआ"

    run(work())
    assert model.searched == [("ईउऊएऐ",)]


def test_samples_are_of_zero_mean_and_unit_variance_over_the_utterance() -> None:
    model = Reader()
    engine = engine_of(model)

    async def work() -> None:
        quiet, loud = spoken("अ" * 10), spoken("ऐ" * 10)
        session = engine.open(CONTEXT, "hi", RATE_HZ)
        session.start()
        await session.accept(quiet + loud + bytes(bytes_of(200, RATE_HZ)))
        await session.finish()

    run(work())
    [[part]] = model.batches
    assert float(part.samples().mean()) == pytest.approx(0, abs=0.01)
    assert float(part.samples().std()) == pytest.approx(1, abs=0.1)


async def test_what_cannot_be_opened_is_refused() -> None:
    engine = Wav2Vec2Engine(Reader(), ModelOptions(languages=("hi-IN", "mr"), capacity=3))
    assert (engine.languages, engine.capacity) == (("hi", "mr"), 3)
    with pytest.raises(UnknownLanguage):
        await engine.build_context(CONTEXT, "en", [])
    with pytest.raises(UnknownContext):
        engine.open(CONTEXT, "hi", RATE_HZ)
    await engine.build_context(CONTEXT, "hi", [])
    with pytest.raises(UnknownLanguage):
        engine.open(CONTEXT, "ta", RATE_HZ)


def test_the_language_must_be_named_and_written_in_the_models_letters() -> None:
    with pytest.raises(UserError, match="--languages hi"):
        Wav2Vec2Engine(Reader(), ModelOptions())
    with pytest.raises(UserError, match=r"writes Devanagari, which 'ta' is not written in"):
        Wav2Vec2Engine(Reader(), ModelOptions(languages=("hi", "ta")))
