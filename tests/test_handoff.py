"""Callers on their way to a person, on virtual time: what leads there, what they hear, who is told."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from telephone import ANSWER, RATE_HZ, SILENCE, WORD_MS, FakeWriter, Telephone, agent_with, speech
from virtualtime import run

from appliance.audio import FRAME_MS
from appliance.call.handoff import LONGEST_WAIT_MS
from appliance.call.holdtone import EVERY_MS, hold_tone
from appliance.events import Message, Summary, Transfer

QUESTION = "what are your opening hours"
WAIT = "One moment, I am connecting you."
NOBODY = "I am sorry, nobody is there."


def helpline(**changes: Any) -> Any:
    fields = {
        "transfer_to": "queue:support",
        "transfer_phrase": WAIT,
        "transfer_failed_phrase": NOBODY,
        "silence_ms": 600_000,
    }
    return agent_with(**(fields | changes))


async def greeted(phone: Telephone) -> None:
    await phone.quiet()


async def asked(phone: Telephone, question: str = QUESTION) -> None:
    await phone.say(question)
    await phone.until(lambda: phone.sounding)
    await phone.quiet()


async def asked_for_person(phone: Telephone) -> None:
    await phone.say("I want to speak to someone please")
    await phone.until(lambda: transfers(phone))


def transfers(phone: Telephone) -> list[Transfer]:
    return [value for _, value in phone.stream.asked if isinstance(value, Transfer)]


def summaries(phone: Telephone) -> list[Summary]:
    return [value for _, value in phone.stream.asked if isinstance(value, Summary)]


def test_a_caller_who_asks_gets_a_person_and_the_rows_say_so() -> None:
    async def talk() -> Telephone:
        phone = Telephone(helpline())
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            phone.writer.answer = "The caller asks when you are open."
            await asked_for_person(phone)
            await phone.until(lambda: summaries(phone))
            await phone.quiet()
            phone.lobby.on_hangup("ATTENDED_TRANSFER")
            await asyncio.wait_for(phone.task, 5)
        return phone

    phone = run(talk())
    (wanted,) = transfers(phone)
    plain = f"From Asha: the caller asked: {QUESTION}, and was told: "
    assert wanted.to == "queue:support" and (wanted.mode, wanted.reason) == ("attended", "asked")
    assert wanted.summary.startswith(plain) and len(wanted.summary) <= 200
    assert summaries(phone) == [Summary("The caller asks when you are open.")]
    turn = phone.turns[-1]
    assert (turn.said, turn.source) == ("I want to speak to someone please", "transfer")
    assert turn.heard == WAIT and turn.gap_ms is not None
    record = phone.last_record
    assert (record.ended_by, record.cause) == ("agent", "ATTENDED_TRANSFER")
    assert (record.transferred_to, record.transfer_reason) == ("queue:support", "asked")
    assert record.summary == "The caller asks when you are open."
    live = [r for r in phone.journal.records if r.transferred_to and not r.ended_at]
    assert live  # who looks at the live call sees it too


def test_an_attended_transfer_is_asked_for_before_the_phrase_a_blind_one_after_it() -> None:
    async def talk(mode: str) -> tuple[Telephone, int]:
        phone = Telephone(helpline(transfer_mode=mode), llm=False)
        async with phone.call():
            await greeted(phone)
            begin = len(phone.stream.frames)
            await phone.say("operator")
            await phone.until(lambda: phone.turns[-1].source == "transfer")
            await phone.until(lambda: transfers(phone))
        first = next(n for n, f in enumerate(phone.stream.frames[begin:], begin) if f != SILENCE)
        return phone, first

    phone, first = run(talk("attended"))
    assert phone.stream.asked[0][0] <= first
    phone, first = run(talk("blind"))
    (at, wanted) = phone.stream.asked[0]
    assert at - first >= len(WAIT.split()) * WORD_MS // FRAME_MS - 2
    assert isinstance(wanted, Transfer) and wanted.mode == "blind"
    assert not summaries(phone)


def test_who_waits_hears_a_soft_tone_every_four_seconds_and_is_not_listened_to() -> None:
    async def talk() -> tuple[Telephone, list[bytes]]:
        phone = Telephone(helpline())
        async with phone.call():
            await greeted(phone)
            await asked_for_person(phone)
            await phone.until(lambda: len(phone.turns) == 2)
            begin = len(phone.stream.frames)
            await phone.wait(2 * EVERY_MS)
            await phone.say("hello is anybody there")
            phone.press("0")
            phone.press("5")
            await phone.wait(2 * EVERY_MS)
        return phone, phone.stream.frames[begin:]

    phone, frames = run(talk())
    starts = [
        n for n, f in enumerate(frames) if f != SILENCE and frames[n - 5 : n] == [SILENCE] * 5
    ]
    tone_ms = len(hold_tone(RATE_HZ)) / 16
    apart = [(b - a) * FRAME_MS for a, b in pairwise(starts)]
    assert len(starts) >= 3
    assert all(EVERY_MS <= ms <= EVERY_MS + tone_ms + 100 for ms in apart)
    assert len(transfers(phone)) == 1 and [t.source for t in phone.turns] == [
        "greeting",
        "transfer",
    ]


def test_when_nobody_comes_the_conversation_goes_on_with_its_history() -> None:
    async def talk() -> Telephone:
        phone = Telephone(helpline())
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            await asked_for_person(phone)
            await phone.wait(9000)
            await phone.say("are you")  # while waiting: nobody's turn, and no part of the next
            phone.lobby.on_transfer_failed("NO_ANSWER")
            await phone.until(lambda: phone.turns[-1].heard == NOBODY)
            await phone.quiet()
            tones = len(phone.stream.frames)
            await phone.wait(3 * EVERY_MS)
            assert set(phone.stream.frames[tones:]) == {SILENCE}
            await asked(phone, "and on sunday")
        return phone

    phone = run(talk())
    assert [t.source for t in phone.turns] == ["greeting", "llm", "transfer", "transfer", "llm"]
    assert phone.turns[-1].said == "and on sunday"
    said = "\n".join(m.content for m in phone.writer.prompts[-1]).splitlines()
    assert QUESTION in said and NOBODY in said
    assert phone.last_record.transferred_to == "queue:support"  # whom we asked
    assert phone.last_record.ended_by == "caller"
    assert [e["cause"] for e in phone.told("transfer_failed")] == ["NO_ANSWER"]


def test_a_transfer_that_fails_over_the_phrase_stops_it() -> None:
    async def talk() -> Telephone:
        phone = Telephone(helpline())
        async with phone.call():
            await greeted(phone)
            await asked_for_person(phone)
            await phone.until(lambda: phone.sounding)
            await phone.wait(600)
            phone.lobby.on_transfer_failed("USER_BUSY")
            phone.lobby.on_transfer_failed("USER_BUSY")  # said twice, meant once
            await phone.until(lambda: phone.turns[-1].heard == NOBODY)
        return phone

    phone = run(talk())
    stopped = phone.turns[-2]
    assert WAIT.startswith(stopped.heard) and stopped.heard != WAIT and not stopped.barged_in


def test_an_edge_that_says_nothing_has_failed() -> None:
    async def talk() -> tuple[Telephone, float]:
        phone = Telephone(helpline())
        async with phone.call():
            await greeted(phone)
            await asked_for_person(phone)
            begin = len(phone.stream.frames)
            await phone.until(lambda: phone.turns[-1].heard == NOBODY, 200)
            waited_ms = (len(phone.stream.frames) - begin) * FRAME_MS
        return phone, waited_ms

    _, waited_ms = run(talk())
    assert LONGEST_WAIT_MS - 100 <= waited_ms <= LONGEST_WAIT_MS + 3000


def test_the_longest_call_waits_for_a_transfer_under_way() -> None:
    async def talk() -> Telephone:
        phone = Telephone(helpline(longest_call_s=6))
        async with phone.call():
            await greeted(phone)
            await asked_for_person(phone)
            await phone.wait(20_000)
            phone.lobby.on_transfer_failed("NO_ANSWER")
            await asyncio.wait_for(phone.task, 15)
        return phone

    phone = run(talk())
    assert phone.turns[-1].source == "goodbye" and phone.last_record.ended_by == "agent"


@pytest.mark.parametrize("when", ["listening", "caller", "paused", "speaking"])
def test_the_key_leads_to_a_person_from_everywhere(when: str) -> None:
    async def talk() -> Telephone:
        phone = Telephone(helpline(keypad={"0": "opening hours"}))
        async with phone.call():
            await greeted(phone)
            if when != "listening":
                await phone.say("what are your")
            if when == "paused":
                await phone.wait(120)
            if when == "speaking":
                await phone.until(lambda: phone.sounding)
                await phone.wait(900)
            phone.press("0")
            await phone.until(lambda: phone.turns[-1].heard == WAIT)
        return phone

    phone = run(talk())
    assert transfers(phone)[0].reason == "key"
    assert phone.turns[-1].said == "" and len(phone.told("key")) == 1
    if when == "speaking":
        assert phone.turns[-2].barged_in


def test_without_anybody_to_transfer_to_key_and_words_are_what_they_were() -> None:
    async def talk() -> Telephone:
        phone = Telephone(agent_with(keypad={"0": "opening hours"}))
        async with phone.call():
            await greeted(phone)
            phone.press("0")
            await phone.until(lambda: phone.sounding)
            await phone.quiet()
            await asked(phone, "I want to speak to someone please")
        return phone

    phone = run(talk())
    assert not transfers(phone)
    assert [t.source for t in phone.turns] == ["greeting", "llm", "llm"]


def test_turns_without_an_answer_lead_to_a_person_and_count_from_nothing_again() -> None:
    async def talk() -> tuple[Telephone, int]:
        writer = FakeWriter(answer="I am sorry, I do not have that information.")
        phone = Telephone(helpline(transfer_after_failures=3), writer)
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            await asked(phone)
            phone.writer.answer = ANSWER
            await asked(phone)  # an answer: from the beginning again
            phone.writer.answer = phone.agent.unknown_answer
            for _ in range(2):
                await asked(phone)
            assert not transfers(phone)
            await phone.say(QUESTION)
            await phone.until(lambda: transfers(phone))
            await phone.until(lambda: phone.turns[-1].heard == WAIT)
            phone.lobby.on_transfer_failed("NO_ANSWER")
            await phone.until(lambda: phone.turns[-1].heard == NOBODY)
            await phone.quiet()
            await asked(phone)  # the fourth; nobody is offered again for it
        return phone, len(transfers(phone))

    phone, offered = run(talk())
    assert offered == 1 and transfers(phone)[0].reason == "failures"
    assert phone.turns[-1].heard == phone.agent.unknown_answer


def test_speech_in_which_no_word_was_heard_counts_as_a_failure_and_a_cough_does_not() -> None:
    async def talk(ms: int) -> Telephone:
        phone = Telephone(helpline(transfer_after_failures=2))
        async with phone.call():
            await greeted(phone)
            for _ in range(2):
                await phone.make_noise(speech(ms))
                await phone.wait(2500)
        return phone

    assert [t.reason for t in transfers(run(talk(1500)))] == ["failures"]
    assert not transfers(run(talk(400)))


def test_the_models_own_decision_is_not_spoken_and_follows_its_words() -> None:
    async def talk() -> Telephone:
        writer = FakeWriter(answer="A colleague knows that better. [transfer]")
        phone = Telephone(helpline(), writer)
        async with phone.call():
            await greeted(phone)
            await phone.say(QUESTION)
            await phone.until(lambda: transfers(phone))
            await phone.until(lambda: phone.turns[-1].heard == WAIT)
            phone.lobby.on_transfer_failed("NO_ANSWER")
            await phone.until(lambda: phone.turns[-1].heard == NOBODY)
            await phone.quiet()
            await asked(phone)  # says it again, and is not obeyed twice in a row
            assert len(transfers(phone)) == 1
            await phone.say(QUESTION)
            await phone.until(lambda: len(transfers(phone)) == 2)
        return phone

    phone = run(talk())
    assert transfers(phone)[0].reason == "agent"
    turn = phone.turns[1]
    assert turn.reply == turn.heard == "A colleague knows that better."
    assert not any("transfer]" in text for text in phone.voice.spoken)
    prompt = phone.writer.prompts[0][0]
    assert isinstance(prompt, Message) and "[transfer]" in prompt.content  # it knows of it
    assert not any("[transfer]" in m.content for p in phone.writer.prompts for m in p[1:])


def test_a_reply_with_the_marker_that_is_interrupted_leads_nowhere() -> None:
    async def talk() -> Telephone:
        phone = Telephone(helpline(), FakeWriter(answer=ANSWER + " [transfer]"))
        async with phone.call():
            await greeted(phone)
            await phone.say(QUESTION)
            await phone.until(lambda: phone.sounding)
            await phone.wait(1500)
            phone.writer.answer = "Yes."
            await phone.say("no wait tell me the price")
            await phone.until(lambda: len(phone.turns) == 3)
            await phone.quiet()
        return phone

    phone = run(talk())
    assert phone.turns[1].barged_in and not transfers(phone)


def test_a_late_summary_is_not_sent() -> None:
    async def talk() -> Telephone:
        phone = Telephone(helpline())
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            phone.writer.first_s = 4.0
            await asked_for_person(phone)
            await phone.wait(6000)
        return phone

    phone = run(talk())
    assert not summaries(phone) and phone.last_record.summary.startswith("From Asha")
