"""How a reply is made, on virtual time: overlap, order, and something to hear whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from telephone import ANSWER, WORD_MS, FakeSearch, FakeVoice, FakeWriter, agent_with, composer_of
from virtualtime import run

from appliance.audio import bytes_of
from appliance.call.answerer import LONGEST_REPLY_LETTERS
from appliance.call.history import History
from appliance.call.reply import Reply
from appliance.engines.base import Writer
from appliance.engines.emulated_tts import one_second
from appliance.errors import EngineError
from appliance.events import Agent, Message, Passage

RATE_HZ = 8000
AGENT = agent_with(answer_deadline_ms=1000)
KNOWN = Passage("p1", "faq", "Opening hours", "We are open from nine to six.", 0.9)


class Desk:
    """A composer between fakes, and a clock in ms."""

    def __init__(self, writer: Writer | None = None) -> None:
        self.voice, self.search = FakeVoice(), FakeSearch()
        search: Any = self.search
        self.composer = composer_of(self.voice, writer, search)

    def reply(self, said: str = "when are you open", source: Any = "llm") -> Reply:
        loop = asyncio.get_running_loop()
        return Reply(source, said, RATE_HZ, lambda: round(loop.time() * 1000))

    async def answer(self, said: str = "when are you open", agent: Agent = AGENT) -> Reply:
        reply = self.reply(said)
        await self.composer.answer(reply, agent, RATE_HZ, History(), "c1")
        return reply


def words_ms(text: str) -> int:
    return len(text.split()) * WORD_MS


def test_stages_overlap_and_everything_is_spoken_in_order() -> None:
    async def make() -> tuple[Reply, Desk]:
        desk = Desk(FakeWriter())
        desk.search.passages = [KNOWN]
        return await desk.answer(), desk

    reply, desk = run(make())
    assert reply.text == ANSWER and " ".join(desk.voice.spoken) == ANSWER
    assert len(desk.voice.spoken) >= 2
    assert reply.utterance.written_ms == words_ms(ANSWER)
    assert reply.retrieval_ms is not None and reply.retrieval_ms <= 10
    assert reply.first_token_ms is not None and 200 <= reply.first_token_ms <= 210
    # the voice begins long before the last of 17 words is written (200 + 17 * 1000/60 ms)
    assert reply.first_audio_ms is not None and reply.first_audio_ms < 420
    assert reply.source == "llm" and not reply.failure


def test_a_slow_phrase_is_not_overtaken_by_a_quick_one() -> None:
    class Uneven(FakeVoice):
        async def speak(self, text: str, agent: Agent, rate_hz: int) -> AsyncGenerator[bytes, None]:
            first = not self.spoken
            self.spoken.append(text)
            await asyncio.sleep(2.0 if first else 0.01)
            yield bytes([len(self.spoken) if first else 9]) * bytes_of(words_ms(text), rate_hz)

    async def make() -> Reply:
        desk = Desk(FakeWriter(answer="Yes, we are. On Sunday the office is closed all day long."))
        search: Any = desk.search
        composer = composer_of(Uneven(), FakeWriter(answer="Yes, we are open all the day."), search)
        reply = desk.reply()
        await composer.answer(reply, AGENT, RATE_HZ, History(), "c1")
        return reply

    reply = run(make())
    pcm = b""
    while (frame := reply.utterance.read()) is not None:
        pcm += frame
    assert pcm and pcm[0] != 9 and pcm.rstrip(b"\0")[-1] == 9
    assert list(pcm.rstrip(b"\0")) == sorted(pcm.rstrip(b"\0"))  # all of the first, then the rest


@pytest.mark.parametrize(
    ("writer", "why"),
    [
        (FakeWriter(first_s=60), "late"),
        (FakeWriter(error="no server answered"), "no server answered"),
        (FakeWriter(answer=""), "nothing"),
    ],
)
def test_a_model_that_fails_is_replaced_by_the_extractive_answer(
    writer: FakeWriter, why: str
) -> None:
    if why == "nothing":

        class Mute(FakeWriter):
            async def write(
                self, messages: Sequence[Message], *, speculative: bool, call_id: str, **_: object
            ) -> AsyncGenerator[str, None]:
                await asyncio.sleep(0.1)
                for _ in ():
                    yield ""

        writer = Mute()

    async def make() -> tuple[Reply, float]:
        desk = Desk(writer)
        desk.search.passages = [KNOWN]
        return await desk.answer(), asyncio.get_running_loop().time()

    reply, took_s = run(make())
    assert reply.source == "extractive" and reply.text == KNOWN.text
    assert why in reply.failure
    assert reply.utterance.written_ms == words_ms(KNOWN.text)
    assert took_s < 3
    if why == "late":
        assert writer.closed == 1  # and it is not left writing


def test_a_model_that_breaks_off_leaves_what_it_said() -> None:
    class Breaking(FakeWriter):
        async def write(
            self, messages: Sequence[Message], *, speculative: bool, call_id: str, **_: object
        ) -> AsyncGenerator[str, None]:
            yield "We are open every day."
            raise EngineError("llm", "the reply broke off")

    async def make() -> Reply:
        return await Desk(Breaking()).answer()

    reply = run(make())
    assert reply.text == "We are open every day." and reply.source == "llm"
    assert "broke off" in reply.failure
    assert reply.utterance.written_ms == words_ms(reply.text)


def test_a_model_that_breaks_off_in_mid_sentence_is_followed_by_the_extract() -> None:
    class Breaking(FakeWriter):
        async def write(
            self, messages: Sequence[Message], *, speculative: bool, call_id: str, **_: object
        ) -> AsyncGenerator[str, None]:
            yield "The office, as I"
            raise EngineError("llm", "the reply broke off")

    async def make(passages: list[Passage]) -> Reply:
        desk = Desk(Breaking())
        desk.search.passages = passages
        return await desk.answer()

    found, nothing = run(make([KNOWN])), run(make([]))
    assert found.text == f"The office, as I. {KNOWN.text}" and nothing.text == "The office, as I"
    assert found.utterance.written_ms == words_ms(found.text)
    assert "broke off" in found.failure and "broke off" in nothing.failure


def test_the_model_is_told_the_agents_own_name_for_it_and_the_time_it_has() -> None:
    asked: list[dict[str, object]] = []

    class Noting(FakeWriter):
        async def write(
            self, messages: Sequence[Message], *, speculative: bool, call_id: str, **more: object
        ) -> AsyncGenerator[str, None]:
            asked.append(more)
            yield "Yes."

    async def make() -> None:
        await Desk(Noting()).answer(agent=agent_with(llm_model="lora", answer_deadline_ms=1500))

    run(make())
    assert asked == [{"model": "lora", "within_s": 1.5}]


def test_the_ends_of_writing_and_speaking_are_marked() -> None:
    async def make() -> tuple[Reply, Reply]:
        desk = Desk(FakeWriter())
        whole, cut = await desk.answer(), desk.reply()
        work = desk.composer.answer(cut, AGENT, RATE_HZ, History(), "c1")
        cut.task = asyncio.create_task(work)
        await asyncio.sleep(0.3)
        cut.cancel()
        await asyncio.wait({cut.task})
        return whole, cut

    whole, cut = run(make())
    words = len(ANSWER.split())
    assert whole.last_token_ms is not None and whole.last_audio_ms is not None
    assert 200 + (words - 1) * 16 <= whole.last_token_ms <= 200 + words * 17 + 50
    assert whole.last_token_ms < whole.last_audio_ms
    assert cut.first_token_ms is not None and cut.last_token_ms is cut.last_audio_ms is None


def test_audio_is_kept_for_one_sound_only() -> None:
    async def spoken_again(**changes: Any) -> int:
        desk = Desk()
        await desk.composer.warm(AGENT)
        desk.voice.spoken.clear()
        await desk.composer.warm(agent_with(answer_deadline_ms=1000, **changes))
        return len(desk.voice.spoken)

    assert run(spoken_again(prompt="Another.")) == 0
    for change in (
        {"pronunciations": {"Sunrise": "Sun rice"}}, {"tts_engine": "coqui"}, {"voice": "other"},
    ):  # fmt: skip
        assert run(spoken_again(**change)) > 4


def test_a_model_that_never_ends_is_cut_off() -> None:
    writer = FakeWriter(answer="and so on, " * 5000)

    async def make() -> Reply:
        return await Desk(writer).answer()

    reply = run(make())
    assert LONGEST_REPLY_LETTERS < len(reply.text) < LONGEST_REPLY_LETTERS + 20
    assert reply.source == "llm" and "no end" in reply.failure
    assert writer.closed == 1  # and it is not left writing


def test_without_a_model_the_answer_is_extracted() -> None:
    async def make() -> tuple[Reply, Reply]:
        desk = Desk()
        nothing = await desk.answer()
        desk.search.passages = [KNOWN]
        return nothing, await desk.answer()

    nothing, found = run(make())
    assert (nothing.text, nothing.source) == (AGENT.unknown_answer, "extractive")
    assert (found.text, found.source) == (KNOWN.text, "extractive")
    assert found.passages == (KNOWN,) and not found.failure


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_when_no_voice_is_up_the_apology_kept_from_before_is_heard(rate_hz: int) -> None:
    async def make() -> Reply:
        desk = Desk(FakeWriter())
        assert await desk.composer.warm(AGENT)
        desk.voice.mute = "all"
        reply = Reply("llm", "hi", rate_hz, lambda: 0)
        await desk.composer.answer(reply, AGENT, rate_hz, History(), "c1")
        return reply

    reply = run(make())
    assert reply.source == "apology" and "tts" in reply.failure
    assert reply.utterance.written_ms == words_ms(AGENT.apology)  # once, whatever phrases failed
    while reply.utterance.read() is not None:
        pass
    assert reply.heard.split()[:4] == AGENT.apology.split()[:4]


def test_a_voice_that_is_away_at_the_start_is_asked_again() -> None:
    async def make() -> tuple[bool, bool, list[str]]:
        desk = Desk()
        desk.voice.mute = "all"
        first = await desk.composer.warm(AGENT)
        desk.voice.mute = ""
        second = await desk.composer.warm(AGENT)
        desk.voice.spoken.clear()
        await desk.composer.warm(AGENT)
        return first, second, desk.voice.spoken

    assert run(make()) == (False, True, [])


def test_fixed_words_are_at_once_there() -> None:
    async def make() -> tuple[Reply, int]:
        desk = Desk()
        await desk.composer.warm(AGENT)
        asked = len(desk.voice.spoken)
        reply = desk.reply(source="greeting")
        await desk.composer.say(reply, AGENT, RATE_HZ, AGENT.greeting)
        return reply, len(desk.voice.spoken) - asked

    reply, asked = run(make())
    assert asked == 0 and reply.first_audio_ms == reply.begun_ms
    assert reply.utterance.written_ms == words_ms(AGENT.greeting)


@pytest.mark.parametrize("after_s", [0.003, 0.1, 0.25, 0.35, 0.5])
def test_cancelling_stops_the_writer_and_the_voice_at_every_stage(after_s: float) -> None:
    async def make() -> tuple[FakeWriter, Desk, Reply]:
        writer = FakeWriter(answer=ANSWER * 20)
        desk = Desk(writer)
        reply = desk.reply()
        work = desk.composer.answer(reply, AGENT, RATE_HZ, History(), "c1")
        reply.task = asyncio.create_task(work)
        await asyncio.sleep(after_s)
        reply.cancel()
        await asyncio.wait({reply.task})
        assert reply.task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return writer, desk, reply

    writer, desk, _ = run(make())
    assert writer.closed == len(writer.prompts)
    assert desk.voice.closed + desk.voice.finished == len(desk.voice.spoken)


def test_a_writer_far_ahead_of_the_voice_waits() -> None:
    class Slow(FakeVoice):
        async def speak(self, text: str, agent: Agent, rate_hz: int) -> AsyncGenerator[bytes, None]:
            self.spoken.append(text)
            await asyncio.sleep(1000)
            yield one_second(rate_hz)

    async def make() -> int:
        writer, voice = FakeWriter(answer="One two three four. " * 200, first_s=0), Slow()
        search: Any = FakeSearch()
        composer = composer_of(voice, writer, search)
        reply = Desk().reply()
        task = asyncio.create_task(composer.answer(reply, AGENT, RATE_HZ, History(), "c1"))
        await asyncio.sleep(100)
        task.cancel()
        await asyncio.wait({task})
        return len(voice.spoken)

    assert run(make()) <= 5


def test_history_and_passages_are_in_the_prompt() -> None:
    async def make() -> list[Message]:
        writer = FakeWriter()
        desk = Desk(writer)
        desk.search.passages = [KNOWN]
        history = History()
        history.add("hello", "Hi there.")
        await desk.composer.answer(desk.reply(), AGENT, RATE_HZ, history, "c1")
        return writer.prompts[0]

    prompt = run(make())
    assert [m.role for m in prompt] == ["system", "user", "assistant", "user"]
    assert KNOWN.text in prompt[-1].content and prompt[-1].content.endswith("when are you open")


@pytest.mark.parametrize(
    ("writer", "line"),
    [
        (FakeWriter(answer="They want a refund.\nSoon."), "They want a refund. Soon."),
        (FakeWriter(first_s=5.0), ""),
        (FakeWriter(error="away"), ""),
        (None, ""),
    ],
)
def test_a_summary_is_there_in_time_or_not_at_all(writer: FakeWriter | None, line: str) -> None:
    async def make() -> tuple[str, float]:
        history = History()
        history.add("I want a refund", "Which bill?")
        summary = await Desk(writer).composer.summarise(AGENT, history, "c1")
        return summary, asyncio.get_running_loop().time()

    summary, took_s = run(make())
    assert summary == line and took_s <= 3.01


def test_a_summary_without_an_end_is_cut() -> None:
    async def make() -> tuple[str, FakeWriter]:
        history, writer = History(), FakeWriter(answer="why " * 1000)
        history.add("q", "a")
        return await Desk(writer).composer.summarise(AGENT, history, "c1"), writer

    summary, writer = run(make())
    assert len(summary) <= 200 and writer.closed == 1


def test_what_a_caller_may_hear_in_a_transfer_is_spoken_in_advance() -> None:
    async def warm(agent: Agent) -> list[str]:
        desk = Desk()
        await desk.composer.warm(agent)
        return desk.voice.spoken

    plain, helpline = run(warm(AGENT)), run(warm(agent_with(transfer_to="1002")))
    assert AGENT.transfer_phrase not in plain and AGENT.resume_phrase in plain
    assert {AGENT.transfer_phrase, AGENT.transfer_failed_phrase} <= set(helpline)
