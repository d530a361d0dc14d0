"""Whole conversations on virtual time: what the caller hears, and what is written of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from telephone import (
    ANSWER,
    SILENCE,
    WORD_MS,
    FakeWriter,
    Telephone,
    agent_with,
    hum,
    speech,
)
from virtualtime import run, stall

from appliance.audio import FRAME_MS
from appliance.events import Turn
from appliance.store.directory import NoAgentError

QUESTION = "what are your opening hours"


async def greeted(phone: Telephone) -> None:
    """The greeting has been heard, and it is quiet."""
    await phone.quiet()
    assert phone.turns[0].source == "greeting" and phone.turns[0].heard == "Welcome to Sunrise."


async def asked(phone: Telephone, question: str = QUESTION) -> None:
    """A question has been asked, and its answer can be heard."""
    await phone.say(question)
    await phone.until(lambda: phone.sounding)


def test_a_question_is_answered_and_everything_is_written() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            await phone.quiet()
        return phone

    phone = run(talk())
    _, turn = phone.turns
    assert (turn.said, turn.reply, turn.heard) == (QUESTION, ANSWER, ANSWER)
    assert turn.source == "llm" and not turn.barged_in and not turn.failure
    assert [t.index for t in phone.turns] == [1, 2]
    assert phone.last_record.ended_by == "caller" and phone.last_record.turns == 2
    assert phone.last_record.ended_at and phone.stream.is_closed and phone.stream.answered
    assert phone.stream.cause == ""  # who hangs up needs not be hung up
    kinds = [name for name, _ in phone.events]
    assert kinds[0] == "call" and kinds[-1] == "end" and "partial" in kinds and "turn" in kinds


def test_the_reply_is_begun_before_the_turn_is_given_and_kept() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            await phone.quiet()
        return phone

    phone = run(talk())
    turn, stages = phone.turns[1], phone.turns[1].stages
    assert turn.kept_speculation
    assert phone.writer.questions[-1] == QUESTION
    assert stages.speech_start and stages.speech_end and stages.speculation and stages.turn_given
    assert stages.speculation < stages.turn_given
    assert stages.first_partial and stages.speech_start < stages.first_partial < stages.speech_end
    # token 200 + phrase + voice 100 after the last word; nothing waits for the turn as well
    assert turn.gap_ms is not None and 240 <= turn.gap_ms <= 520
    assert stages.retrieval and stages.first_token and stages.first_phrase and stages.first_audio
    order = (stages.retrieval, stages.first_token, stages.first_phrase, stages.first_audio)
    assert list(order) == sorted(order)


def test_a_speculation_that_the_final_words_contradict_is_dropped() -> None:
    async def talk() -> Telephone:
        phone = Telephone(writer=FakeWriter(first_s=0.6))
        phone.judge.verdict = 0.1
        async with phone.call():
            await greeted(phone)
            await phone.say("what are your hours")
            await phone.wait(400)  # long enough to begin a reply to half of it
            await phone.say("on public holidays")
            await phone.until(lambda: phone.sounding)
            await phone.quiet()
        return phone

    phone = run(talk())
    assert "what are your hours" in phone.writer.questions[:-1]
    assert phone.writer.questions[-1] == "what are your hours on public holidays"
    assert phone.writer.closed >= 1  # the first was aborted on the server
    turns = [t for t in phone.turns if t.said]
    assert len(turns) == 1 and turns[0].said == "what are your hours on public holidays"
    assert turns[0].stages.speculations_dropped >= 1


def test_a_caller_who_goes_on_before_the_answer_takes_the_turn_back() -> None:
    async def talk() -> Telephone:
        phone = Telephone(writer=FakeWriter(first_s=0.9))
        async with phone.call():
            await greeted(phone)
            begin = len(phone.stream.frames)
            await phone.say("I have a problem")
            await phone.until(lambda: phone.told("turn"))  # the turn has been given
            await phone.say("with my bill")
            assert not any(frame != SILENCE for frame in phone.stream.frames[begin:])
            await phone.until(lambda: phone.sounding)
            await phone.quiet()
        return phone

    phone = run(talk())
    turns = [t for t in phone.turns if t.said]
    assert [t.said for t in turns] == ["I have a problem with my bill"]
    assert turns[0].heard == ANSWER
    assert phone.writer.closed >= 1


def test_a_barge_in_silences_the_agent_and_cuts_the_history_to_what_was_heard() -> None:
    async def talk() -> tuple[Telephone, int]:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            await phone.wait(2000)
            begin = len(phone.stream.frames)
            speaking = asyncio.create_task(phone.say("no wait tell me the price"))
            await phone.until(lambda: not phone.sounding)
            stopped_ms = (len(phone.stream.frames) - begin) * FRAME_MS
            await speaking
            await phone.until(lambda: phone.sounding)
            await phone.quiet()
        return phone, stopped_ms

    phone, stopped_ms = run(talk())
    assert stopped_ms <= 200
    cut = phone.turns[1]
    assert cut.barged_in and cut.reply.startswith(cut.heard)
    assert 0 < len(cut.heard) < len(ANSWER)
    words = len(cut.heard.split())
    assert 2000 / WORD_MS - 3 <= words <= 2300 / WORD_MS + 3
    after = phone.turns[2]
    assert after.said == "no wait tell me the price" and after.heard == ANSWER
    prompt = [m.content for m in phone.writer.prompts[-1] if m.role == "assistant"]
    assert prompt == ["Welcome to Sunrise.", cut.heard]


@pytest.mark.parametrize("ms", [200, 350])
def test_a_hum_over_the_agent_changes_nothing(ms: int) -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            begin = len(phone.stream.frames)
            await phone.wait(600)
            await phone.make_noise(hum(ms))
            await phone.wait(1000)
            assert SILENCE not in phone.stream.frames[begin:]  # not even a short stop
            await phone.quiet()
        return phone

    phone = run(talk())
    assert phone.turns[-1].heard == ANSWER and not phone.turns[-1].barged_in
    assert not phone.told("yield")


def test_a_sound_without_words_stops_the_agent_who_then_goes_on_where_it_stopped() -> None:
    async def talk() -> tuple[Telephone, list[bytes]]:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            begin = len(phone.stream.frames)
            await asked(phone)
            await phone.wait(900)
            await phone.make_noise(speech(350))
            await phone.until(lambda: phone.told("carry_on"))
            await phone.until(lambda: phone.sounding)
            await phone.quiet()
        return phone, phone.stream.frames[begin:]

    phone, frames = run(talk())
    assert len(phone.told("yield")) == 1
    assert phone.turns[-1].heard == ANSWER and not phone.turns[-1].barged_in
    heard_ms = FRAME_MS * sum(frame != SILENCE for frame in frames)
    assert heard_ms == len(ANSWER.split()) * WORD_MS  # nothing lost, nothing twice


def test_a_backchannel_that_is_recognised_over_the_agent_is_no_turn() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            await phone.wait(900)
            await phone.say("yeah okay")
            await phone.until(lambda: phone.told("carry_on"))
            await phone.until(lambda: phone.sounding)
            await phone.quiet()
            await asked(phone, "and on sunday")
            await phone.quiet()
        return phone

    phone = run(talk())
    assert [t.said for t in phone.turns] == ["", QUESTION, "and on sunday"]
    assert not any(t.barged_in for t in phone.turns)


def test_silence_is_prompted_and_then_the_agent_takes_leave() -> None:
    async def talk() -> tuple[Telephone, list[float]]:
        phone = Telephone()
        loop = asyncio.get_running_loop()
        async with phone.call():
            times = []
            for count in (2, 3, 4):
                await phone.until(lambda count=count: len(phone.turns) >= count)
                times.append(loop.time())
            await asyncio.wait_for(phone.task, 5)
        return phone, times

    phone, times = run(talk())
    assert [t.source for t in phone.turns] == ["greeting", "prompt", "prompt", "goodbye"]
    assert [t.heard for t in phone.turns[1:3]] == list(phone.agent.silence_prompts)
    assert phone.turns[3].heard == phone.agent.goodbye
    assert 4.0 < times[1] - times[0] < 5.2  # silence_ms and the prompt itself
    assert phone.stream.cause == "NORMAL_CLEARING" and phone.last_record.ended_by == "agent"


def test_a_question_gives_all_the_prompts_back() -> None:
    async def talk() -> Telephone:
        phone = Telephone(writer=FakeWriter(answer="Yes."))
        async with phone.call():
            for _ in range(3):
                count = len(phone.turns)
                await phone.until(lambda: phone.turns and phone.turns[-1].source == "prompt")
                await phone.quiet()
                assert len(phone.turns) > count
                await asked(phone)
                await phone.quiet()
        return phone

    assert run(talk()).last_record.ended_by == "caller"


def test_a_key_is_answered_and_others_are_not() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            phone.press("9")
            await phone.wait(1000)
            assert not phone.sounding
            phone.press("5")
            await phone.until(lambda: phone.sounding)
            await phone.wait(1000)
            phone.press("5")  # and again, over the answer
            await phone.wait(60)
            assert not phone.sounding
            await phone.until(lambda: phone.sounding)
            await phone.quiet()
        return phone

    phone = run(talk())
    assert [t.said for t in phone.turns] == ["", "opening hours", "opening hours"]
    assert [t.barged_in for t in phone.turns] == [False, True, False]
    assert len(phone.told("key")) == 3


def test_a_key_replaces_what_is_being_said() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            await phone.say("what are your")
            phone.press("5")
            await phone.until(lambda: phone.sounding)
            await phone.quiet()
        return phone

    assert [t.said for t in run(talk()).turns] == ["", "opening hours"]


def test_a_slow_model_is_bridged_by_the_hold_phrase() -> None:
    async def talk() -> tuple[Telephone, list[int]]:
        phone = Telephone(writer=FakeWriter(first_s=3.5, answer="Yes we are open now."))
        async with phone.call():
            await greeted(phone)
            begin = len(phone.stream.frames)
            await asked(phone)
            await phone.until(lambda: len(phone.turns) > 1)
            frames = phone.stream.frames[begin:]
        starts = [
            n for n in range(1, len(frames)) if frames[n] != SILENCE and frames[n - 1] == SILENCE
        ]
        return phone, starts

    phone, starts = run(talk())
    turn = phone.turns[1]
    assert len(starts) == 2 and (starts[1] - starts[0]) * FRAME_MS > 900  # hold, then the answer
    assert turn.heard == "Yes we are open now." and "hold phrase" in turn.failure
    assert turn.stages.turn_given and turn.stages.first_frame
    assert 1480 <= turn.stages.first_frame - turn.stages.turn_given <= 1700
    assert [t.source for t in phone.turns] == ["greeting", "llm"]


def test_a_silent_model_is_replaced_by_what_is_known() -> None:
    async def talk() -> Telephone:
        phone = Telephone(agent_with(answer_deadline_ms=2000), FakeWriter(first_s=60))
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            await phone.until(lambda: len(phone.turns) > 1)
        return phone

    turn = run(talk()).turns[1]
    assert turn.source == "extractive" and turn.heard == Telephone().agent.unknown_answer
    assert "late" in turn.failure


def test_a_protected_greeting_is_not_interrupted_and_a_question_in_it_is_answered() -> None:
    async def talk() -> tuple[Telephone, list[bytes]]:
        greeting = "Welcome to Sunrise, this call is recorded so that we can serve you better."
        phone = Telephone(agent_with(greeting=greeting, greeting_interruptible=False))
        async with phone.call():
            await phone.wait(200)
            begin = len(phone.stream.frames)
            await phone.say(QUESTION)
            await phone.wait(600)
            heard = phone.stream.frames[begin:]
            await phone.until(lambda: len(phone.turns) == 1)
            await phone.until(lambda: len(phone.turns) == 2)
        return phone, heard

    phone, heard = run(talk())
    assert SILENCE not in heard
    assert phone.turns[0].heard == phone.agent.greeting and not phone.turns[0].barged_in
    assert phone.turns[1].said == QUESTION and phone.turns[1].heard == ANSWER


def test_a_backchannel_in_a_protected_greeting_does_not_begin_the_next_question() -> None:
    async def talk() -> Telephone:
        greeting = "Welcome to Sunrise, this call is recorded so that we can serve you better."
        phone = Telephone(agent_with(greeting=greeting, greeting_interruptible=False))
        async with phone.call():
            await phone.wait(200)
            await phone.say("yes")
            await phone.quiet()
            await asked(phone)
            await phone.quiet()
        return phone

    assert [t.said for t in run(talk()).turns] == ["", QUESTION]


def test_who_speaks_through_the_end_of_a_protected_greeting_has_the_floor() -> None:
    async def talk() -> Telephone:
        phone = Telephone(agent_with(greeting_interruptible=False))
        async with phone.call():
            await phone.wait(500)
            await phone.say("hello I would like to know your opening hours")
            await phone.until(lambda: len(phone.turns) == 2)
        return phone

    phone = run(talk())
    assert phone.turns[1].said.endswith("your opening hours") and phone.turns[1].heard == ANSWER


def test_an_agent_without_barge_in_finishes_what_it_says() -> None:
    async def talk() -> Telephone:
        phone = Telephone(agent_with(barge_in=False))
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            begin = len(phone.stream.frames)
            await phone.wait(600)
            await phone.say("stop stop stop")
            assert SILENCE not in phone.stream.frames[begin:]
            await phone.until(lambda: len(phone.turns) == 3)
        return phone

    assert [t.heard for t in run(talk()).turns[1:]] == [ANSWER, ANSWER]


def test_the_goodbye_is_heard_to_its_last_frame_before_the_line_goes_down() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            await phone.say("okay thank you goodbye")
            await phone.until(lambda: phone.sounding)
            await phone.make_noise(speech(300))  # and over it nothing counts any more
            phone.press("5")
            await asyncio.wait_for(phone.task, 10)
        return phone

    phone = run(talk())
    assert phone.stream.cause == "NORMAL_CLEARING"
    last = phone.turns[-1]
    assert last.source == "goodbye" and last.heard == phone.agent.goodbye
    assert last.said == "okay thank you goodbye" and last.gap_ms is not None
    before = phone.stream.frames[: phone.stream.frames_at_hangup]
    said = [frame for frame in before[-len(phone.agent.goodbye.split()) * WORD_MS // FRAME_MS :]]
    assert SILENCE not in said[-10:]
    assert phone.last_record.ended_by == "agent"


@pytest.mark.parametrize("busy", [False, True])
def test_the_longest_call_ends_with_a_goodbye(busy: bool) -> None:
    async def talk() -> Telephone:
        phone = Telephone(agent_with(longest_call_s=6, silence_ms=60_000))
        async with phone.call():
            await greeted(phone)
            if busy:
                await phone.wait(600)
                await asked(phone)  # the agent is in mid-answer when the time is up
            await asyncio.wait_for(phone.task, 15)
        return phone

    phone = run(talk())
    assert phone.turns[-1].source == "goodbye" and phone.turns[-1].heard == phone.agent.goodbye
    assert phone.last_record.ended_by == "agent"
    assert abs(len(phone.stream.frames) * FRAME_MS - 6000 - 5 * WORD_MS) < 500
    if busy:
        assert phone.turns[-2].barged_in and phone.turns[-2].heard != ANSWER


def test_timers_that_fall_due_together_after_a_stall_do_no_harm() -> None:
    async def talk() -> Telephone:
        phone = Telephone(agent_with(longest_call_s=8, silence_ms=4000))
        async with phone.call():
            await greeted(phone)
            await phone.wait(1000)
            stall(9)  # the silence prompt and the longest call are both overdue
            await asyncio.wait_for(phone.task, 15)
        return phone

    phone = run(talk())
    assert phone.last_record.cause == "NORMAL_CLEARING"
    assert phone.turns[-1].source == "goodbye" and phone.turns[-1].heard == phone.agent.goodbye


def test_a_line_that_goes_dead_in_mid_speech_still_ends_the_turn() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            speaking = asyncio.create_task(phone.say(QUESTION))
            await phone.wait(5 * WORD_MS + 20)
            phone.on_line = False
            await speaking
            await phone.until(lambda: phone.sounding, 5)
            await phone.quiet()
            phone.on_line = True
            await phone.wait(200)
            await asked(phone, "and on sunday")
            await phone.quiet()
        return phone

    phone = run(talk())
    assert [t.said for t in phone.turns] == ["", QUESTION, "and on sunday"]
    gap_ms = phone.turns[2].gap_ms
    assert gap_ms is not None and 200 <= gap_ms <= 600  # the clock has not slipped


def test_a_caller_without_any_audio_is_greeted_all_the_same() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        phone.on_line = False
        async with phone.call():
            await phone.until(lambda: len(phone.turns) == 1)
        return phone

    assert run(talk()).turns[0].heard == "Welcome to Sunrise."


def test_a_recogniser_that_fails_is_apologised_for_and_the_call_goes_on() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            phone.recogniser.sessions[0].fails = True
            await phone.make_noise(speech(900))
            await phone.until(lambda: len(phone.turns) == 2)
            phone.recogniser.sessions[0].fails = False
            await asked(phone)
            await phone.quiet()
        return phone

    phone = run(talk())
    assert phone.turns[1].source == "apology" and phone.turns[1].heard == phone.agent.apology
    assert "recogniser" in phone.turns[1].failure
    assert phone.turns[2].said == QUESTION and not phone.turns[2].failure


def test_final_words_that_never_come_do_not_hold_up_the_answer() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            phone.recogniser.sessions[0].final_s = 30
            await asked(phone)
            await phone.quiet()
        return phone

    turn = run(talk()).turns[1]
    assert turn.said == QUESTION and turn.gap_ms is not None and turn.gap_ms < 1100


@pytest.mark.parametrize(
    ("verdict", "least_ms", "most_ms"), [(0.95, 240, 330), (0.05, 700, 1500), (None, 480, 620)]
)
def test_how_complete_the_turn_sounds_decides_when_it_is_given(
    verdict: float | None, least_ms: int, most_ms: int
) -> None:
    async def talk() -> Turn:
        phone = Telephone()
        phone.judge.verdict = verdict
        async with phone.call():
            await greeted(phone)
            await asked(phone)
            await phone.quiet()
        return phone.turns[1]

    stages = run(talk()).stages
    assert stages.turn_given is not None and stages.speech_end is not None
    assert least_ms <= stages.turn_given - stages.speech_end <= most_ms


def test_noise_that_ends_without_words_leaves_no_mark_on_the_next_turn() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await greeted(phone)
            await phone.make_noise(speech(300))
            await phone.wait(1500)
            await asked(phone)
            await phone.quiet()
        return phone

    phone = run(talk())
    (turn,) = (t for t in phone.turns if t.said)
    assert turn.stages.speech_start is not None and turn.stages.speech_end is not None
    assert 1300 <= turn.stages.speech_end - turn.stages.speech_start <= 1700


# --- ends -----------------------------------------------------------------------------------------


async def in_ringing(phone: Telephone) -> None:
    await phone.until(lambda: phone.stream.answered)


async def in_greeting(phone: Telephone) -> None:
    await phone.until(lambda: phone.sounding)


async def in_callers_speech(phone: Telephone) -> None:
    await greeted(phone)
    await phone.say("what are your")


async def in_pause(phone: Telephone) -> None:
    await in_callers_speech(phone)
    await phone.wait(120)


async def in_waiting(phone: Telephone) -> None:
    await greeted(phone)
    phone.writer.first_s = 1.0
    await phone.say(QUESTION)
    await phone.wait(500)


async def in_answer(phone: Telephone) -> None:
    await greeted(phone)
    await asked(phone)
    await phone.wait(700)


async def in_contest(phone: Telephone) -> None:
    await in_answer(phone)
    await phone.make_noise(speech(250))


async def in_goodbye(phone: Telephone) -> None:
    await greeted(phone)
    await phone.say("goodbye")
    await phone.until(lambda: phone.sounding)


WHEN = {
    "ringing": in_ringing,
    "greeting": in_greeting,
    "listening": greeted,
    "caller": in_callers_speech,
    "paused": in_pause,
    "replying": in_waiting,
    "speaking": in_answer,
    "contested": in_contest,
    "closing": in_goodbye,
}


@pytest.mark.parametrize("how", ["hangs up", "is stopped", "is lost"])
@pytest.mark.parametrize("when", WHEN)
def test_the_call_may_end_at_any_moment(
    when: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    get_there: Callable[[Telephone], Awaitable[None]] = WHEN[when]

    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call(answered=when != "ringing"):
            await get_there(phone)
            if how == "is stopped":
                phone.lobby.end()
            else:
                phone.lobby.on_hangup(
                    "NORMAL_CLEARING" if how == "hangs up" else "NETWORK_OUT_OF_ORDER"
                )
            await asyncio.wait_for(phone.task, 3)
            frames = len(phone.stream.frames)
            await phone.wait(300)
            assert len(phone.stream.frames) == frames  # nothing more is sent
        return phone

    phone = run(talk())
    by = {"hangs up": "caller", "is stopped": "system", "is lost": "system"}[how]
    assert phone.last_record.ended_by == by and phone.last_record.ended_at
    assert len(phone.told("end")) == 1 and phone.stream.is_closed
    assert phone.last_record.turns == len(phone.turns)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
    if when in ("speaking", "contested"):
        assert phone.turns[-1].barged_in and ANSWER.startswith(phone.turns[-1].heard) and (
            phone.turns[-1].heard
        )  # fmt: skip


def test_a_number_without_an_agent_is_turned_away(caplog: pytest.LogCaptureFixture) -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        phone.directory.error = NoAgentError("1001", "not assigned")
        async with phone.call():
            await asyncio.wait_for(phone.task, 2)
        return phone

    phone = run(talk())
    assert phone.stream.cause == "UNALLOCATED_NUMBER" and phone.stream.is_closed
    assert not phone.stream.answered and not phone.journal.records


def test_a_directory_that_breaks_costs_this_call_only() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        phone.directory.error = ZeroDivisionError("a bug")
        async with phone.call():
            await asyncio.wait_for(phone.task, 2)
        return phone

    phone = run(talk())
    assert phone.stream.cause == "INTERWORKING" and phone.stream.is_closed


@pytest.mark.parametrize("stopped", [False, True])
def test_a_call_that_ends_before_its_agent_is_found_is_never_answered(stopped: bool) -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        phone.directory.delay_s = 0.3
        async with phone.call(answered=False):
            await phone.wait(100)
            if stopped:
                phone.lobby.end()
            else:
                phone.lobby.on_hangup("NORMAL_CLEARING")
            await asyncio.wait_for(phone.task, 2)
        return phone

    phone = run(talk())
    assert not phone.stream.answered and phone.stream.is_closed and not phone.recogniser.sessions
    assert (phone.stream.cause != "") == stopped


def test_an_error_in_one_call_ends_it_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def talk() -> tuple[Telephone, Telephone]:
        broken, fine = Telephone(), Telephone(agent_with(silence_ms=60_000))
        fine.pacer = broken.pacer  # both are paced by one worker
        async with broken.call(), fine.call(guest=True):
            await greeted(fine)
            await greeted(broken)
            broken.journal.turn = lambda turn: 1 / 0  # type: ignore[assignment]
            await asked(broken)
            await asyncio.wait_for(broken.task, 20)
            await asked(fine)
            await fine.until(lambda: len(fine.turns) == 2)
        return broken, fine

    broken, fine = run(talk())
    assert broken.last_record.cause == "INTERWORKING" and broken.last_record.ended_by == "system"
    assert broken.stream.cause == "INTERWORKING"
    assert fine.turns[1].heard == ANSWER
    assert "the call broke" in caplog.text
