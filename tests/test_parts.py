"""Calls that come from somewhere: taken over, made by us, recorded by the edge, held, whispered to."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from telephone import ANSWER, RATE_HZ, SILENCE, WORD_MS, Telephone, agent_with, speech
from virtualtime import run

from appliance.audio import FRAME_MS
from appliance.call.past import Past
from appliance.call.session import BEEP_WAIT_MS
from appliance.events import AnsweredBy, CallRecord, Stages, Turn
from appliance.media.recording import DiskWriter

QUESTION = "what are your opening hours"
START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def a_turn(index: int, said: str, heard: str) -> Turn:
    at = START + timedelta(seconds=index)
    return Turn("call-0001", index, at, said, heard + " And more.", heard, "llm", Stages(), None)


def past(*turns: tuple[str, str], **changes: Any) -> Past:
    call = CallRecord("call-0001", "1001", "+91", "A", 1, "en", START, **changes)
    rows = tuple(a_turn(index, *turn) for index, turn in enumerate(turns, 1))
    return Past(call, rows, len(rows))


def offered(phone: Telephone, **changes: Any) -> Telephone:
    phone.offer = dataclasses.replace(phone.offer, **changes)
    return phone


# --- taken over -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "phrase"), [("worker", "resume_phrase"), ("transfer", "transfer_failed_phrase")]
)
def test_a_call_taken_over_goes_on_where_it_was(why: str, phrase: str) -> None:
    async def talk() -> Telephone:
        phone = offered(Telephone(agent_with(version=3)), part=2, resumed=why)
        phone.past.past = past(
            ("", "Welcome to Sunrise."), ("I have a question", "Please ask."), late_frames=4
        )
        async with phone.call():
            await phone.quiet()
            await phone.say(QUESTION)
            await phone.until(lambda: phone.sounding)
            await phone.quiet()
        return phone

    phone = run(talk())
    resumed, turn = phone.turns
    assert resumed.source == "resume" and resumed.heard == getattr(phone.agent, phrase)
    assert [t.index for t in phone.turns] == [3, 4] and turn.heard == ANSWER
    assert [m.content for m in phone.writer.prompts[-1][2:5]] == [
        "Welcome to Sunrise.", "I have a question", f"Please ask.\n{resumed.heard}",
    ]  # fmt: skip
    first, last = phone.journal.records[0], phone.last_record
    assert (first.part, first.turns, first.started_at) == (2, 2, START)
    assert (last.part, last.turns, last.started_at) == (2, 4, START)
    assert last.late_frames >= 4
    assert phone.directory.asked == [("A", 1)]  # the version that the call began with


def test_without_its_history_it_goes_on_all_the_same_and_no_row_can_collide() -> None:
    async def talk() -> Telephone:
        phone = offered(Telephone(), part=2, resumed="worker", agent="A")
        phone.past.past = Past(last_index=1000)
        async with phone.call():
            await phone.quiet()
        return phone

    phone = run(talk())
    assert phone.turns[0].source == "resume" and phone.turns[0].index == 1001
    assert phone.last_record.turns == 1 and phone.directory.asked == [("A", 0)]


def test_what_is_known_of_an_earlier_transfer_stays_known() -> None:
    async def talk() -> Telephone:
        phone = offered(Telephone(), part=2, resumed="transfer")
        phone.past.past = past(
            ("q", "a"), transferred_to="queue:x", transfer_reason="key", summary="One line."
        )
        async with phone.call():
            await phone.quiet()
        return phone

    record = run(talk()).last_record
    assert (record.transferred_to, record.transfer_reason) == ("queue:x", "key")
    assert record.summary == "One line."


def test_the_edges_choice_of_agent_goes_before_the_number() -> None:
    async def talk(agent: str) -> Telephone:
        phone = offered(Telephone(), agent=agent)
        async with phone.call():
            await phone.quiet()
        return phone

    assert run(talk("hindi")).directory.asked == [("hindi", 0)]
    assert run(talk("")).directory.asked == []


# --- recorded -------------------------------------------------------------------------------------


def test_the_notice_comes_first_cannot_be_interrupted_and_is_a_turn_of_its_own() -> None:
    async def talk() -> tuple[Telephone, list[bytes]]:
        agent = agent_with(recording_notice="This call is recorded for your own good.")
        phone = offered(Telephone(agent), recording="2026/11/20/x.wav")
        async with phone.call():
            await phone.wait(300)
            begin = len(phone.stream.frames)
            await phone.say("hello hello")
            heard = phone.stream.frames[begin:]
            await phone.quiet()
        return phone, heard

    phone, heard = run(talk())
    assert SILENCE not in heard
    notice, greeting = phone.turns[:2]
    assert notice.heard == phone.agent.recording_notice and notice.source == "greeting"
    assert greeting.heard == phone.agent.greeting
    assert phone.last_record.recording == "2026/11/20/x.wav"


@pytest.mark.parametrize(
    ("agent", "edge", "name"),
    [
        ({}, {}, "call-0001.wav"),
        ({}, {"part": 2, "resumed": "worker"}, "call-0001.2.wav"),
        ({"record": False}, {}, ""),
        ({}, {"recording": "2026/11/20/edge.wav"}, "edge.wav"),
    ],
)
def test_one_of_edge_and_worker_records_or_none_as_the_agent_says(
    tmp_path: Path, agent: dict[str, Any], edge: dict[str, Any], name: str
) -> None:
    disk = DiskWriter()

    async def talk() -> Telephone:
        phone = offered(Telephone(agent_with(**agent)), **edge)
        services = dataclasses.replace(phone.services(), disk=disk, recordings=tmp_path)
        phone.services = lambda: services  # type: ignore[method-assign]
        async with phone.call():
            await phone.quiet()
        return phone

    phone = run(talk())
    disk.close()
    written = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.wav")]
    assert phone.last_record.recording.rpartition("/")[2] == name
    assert written == ([] if edge.get("recording") or not name else [phone.last_record.recording])


@pytest.mark.parametrize("changes", [{}, {"record": False}])
def test_a_call_that_nobody_records_is_not_called_recorded(changes: dict[str, Any]) -> None:
    async def talk() -> Telephone:
        phone = Telephone(agent_with(recording_notice="This call is recorded.", **changes))
        async with phone.call():
            await phone.quiet()
        return phone

    phone = run(talk())
    assert phone.turns[0].heard == phone.agent.greeting and phone.last_record.recording == ""


# --- held, whispered to ---------------------------------------------------------------------------


def test_while_the_line_is_held_nobody_is_prompted_and_music_is_no_question() -> None:
    async def talk() -> tuple[Telephone, int]:
        phone = Telephone()
        async with phone.call():
            await phone.quiet()
            phone.lobby.on_hold(True)
            await phone.make_noise(speech(3000))
            await phone.wait(20_000)
            count = len(phone.turns)
            phone.lobby.on_hold(False)
            await phone.wait(3500)
            assert len(phone.turns) == count  # the silence counts from its end
            await phone.until(lambda: len(phone.turns) > count)
        return phone, count

    phone, count = run(talk())
    assert count == 1 and phone.turns[1].source == "prompt"
    assert [e["on"] for e in phone.told("hold")] == [True, False]


def test_a_held_line_is_still_played_to() -> None:
    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await phone.quiet()
            await phone.say(QUESTION)
            await phone.until(lambda: phone.sounding)
            phone.lobby.on_hold(True)
            await phone.until(lambda: len(phone.turns) == 2)
            await phone.wait(10_000)
        return phone

    phone = run(talk())
    assert phone.turns[1].heard == ANSWER and len(phone.turns) == 2


def test_a_whisper_reaches_the_model_and_neither_the_caller_nor_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = "offer them a month for free"

    async def talk() -> Telephone:
        phone = Telephone()
        async with phone.call():
            await phone.quiet()
            phone.lobby.on_whisper(secret)
            await phone.say(QUESTION)
            await phone.until(lambda: phone.sounding)
            await phone.quiet()
        return phone

    with caplog.at_level("DEBUG"):
        phone = run(talk())
    prompt = phone.writer.prompts[-1]
    assert prompt[-1].role == "user" and secret in prompt[-1].content
    assert prompt[-1].content.endswith(f"The caller says: {QUESTION}")
    assert [e["text"] for e in phone.told("whisper")] == [secret]
    assert secret not in " ".join(phone.voice.spoken) and secret not in caplog.text


# --- made by us -----------------------------------------------------------------------------------


def beep(ms: int = 400) -> bytes:
    at = np.arange(ms * RATE_HZ // 1000) / RATE_HZ
    return (6000 * np.sin(2 * np.pi * 1000 * at)).astype("<i2").tobytes()


def outbound(**changes: Any) -> Telephone:
    return offered(Telephone(agent_with(**changes)), direction="out", agent="A")


def test_a_person_who_says_hello_is_greeted_then_and_not_before() -> None:
    async def talk() -> tuple[Telephone, int]:
        phone = outbound()
        async with phone.call(answered=False):
            await phone.until(lambda: len(phone.stream.frames) > 10)
            await phone.wait(1000)
            assert set(phone.stream.frames) == {SILENCE}
            await phone.say("hello")
            before = len(phone.stream.frames)
            await phone.until(lambda: phone.sounding)
            waited_ms = (len(phone.stream.frames) - before) * FRAME_MS
            await phone.quiet()
            await phone.say(QUESTION)
            await phone.until(lambda: phone.sounding)
            await phone.quiet()
        return phone, waited_ms

    phone, waited_ms = run(talk())
    assert waited_ms <= 900
    assert phone.stream.asked[0][1] == AnsweredBy("human", "short greeting")
    assert [t.source for t in phone.turns] == ["greeting", "llm"]
    assert phone.turns[1].said == QUESTION  # their hello is no part of it
    record = phone.last_record
    assert (record.direction, record.answered_by) == ("out", "human:short greeting")
    live = [r for r in phone.journal.records if r.answered_by and not r.ended_at]
    assert live


def test_nobody_who_speaks_is_greeted_after_a_while() -> None:
    async def talk() -> Telephone:
        phone = outbound()
        phone.on_line = False  # not even audio comes
        async with phone.call():
            await phone.quiet()
        return phone

    phone = run(talk())
    assert phone.turns[0].heard == phone.agent.greeting
    assert phone.last_record.answered_by == "uncertain:silence"


@pytest.mark.parametrize("beeps", [True, False])
def test_a_machine_is_left_a_message_after_its_beep(beeps: bool) -> None:
    message = "This is Sunrise. Please call us back."

    async def talk() -> tuple[Telephone, int, int]:
        phone = outbound(machine_message=message)
        async with phone.call(answered=False):
            await phone.until(lambda: len(phone.stream.frames) > 10)
            await phone.make_noise(speech(5000))
            assert phone.stream.asked[0][1] == AnsweredBy("machine", "long greeting")
            begin = len(phone.stream.frames)
            if beeps:
                await phone.make_noise(beep())
                begin = len(phone.stream.frames)
            await phone.until(lambda: phone.sounding)
            sounded = len(phone.stream.frames)
            await asyncio.wait_for(phone.task, 20)
        return phone, begin, sounded

    phone, begin, sounded = run(talk())
    waited_ms = (sounded - begin) * FRAME_MS
    if beeps:
        assert 0 < waited_ms < 600
        assert phone.last_record.answered_by == "machine:beep"
    else:
        assert BEEP_WAIT_MS - 5000 < waited_ms <= BEEP_WAIT_MS
        assert phone.last_record.answered_by == "machine:long greeting"
    (turn,) = phone.turns
    assert turn.heard == message and len(message.split()) * WORD_MS > 0
    record = phone.last_record
    assert (record.ended_by, record.cause) == ("agent", "NORMAL_CLEARING")
    assert phone.stream.cause == "NORMAL_CLEARING"


def test_a_machine_without_a_message_is_hung_up_on() -> None:
    async def talk() -> Telephone:
        phone = outbound()
        async with phone.call(answered=False):
            await phone.until(lambda: len(phone.stream.frames) > 10)
            await phone.make_noise(speech(5000))
            await asyncio.wait_for(phone.task, 5)
        return phone

    phone = run(talk())
    assert set(phone.stream.frames) == {SILENCE} and not phone.turns
    assert phone.last_record.ended_by == "agent"
    assert phone.last_record.answered_by == "machine:long greeting"


def test_an_outbound_call_taken_over_is_not_asked_again_who_it_is() -> None:
    async def talk() -> Telephone:
        phone = offered(outbound(), part=2, resumed="worker")
        phone.past.past = past(("", "Hello."), answered_by="human:short greeting")
        async with phone.call():
            await phone.quiet()
        return phone

    phone = run(talk())
    assert phone.turns[0].source == "resume" and not phone.stream.asked
    assert phone.last_record.answered_by == "human:short greeting"


@pytest.mark.parametrize("state", ["answering", "machine", "waiting", "resumed"])
@pytest.mark.parametrize("how", ["hangs up", "is stopped", "is lost"])
def test_these_calls_too_may_end_at_any_moment(
    state: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> Telephone:
        phone = outbound(machine_message="Call us back.", transfer_to="1002")
        if state in ("waiting", "resumed"):
            phone.offer = dataclasses.replace(phone.offer, direction="in", part=2, resumed="worker")
        async with phone.call(answered=False):
            await phone.until(lambda: len(phone.stream.frames) > 10)
            if state == "machine":
                await phone.make_noise(speech(4000))
            if state == "waiting":
                await phone.quiet()
                phone.press("0")
                await phone.wait(1000)
            if how == "is stopped":
                phone.lobby.end()
            else:
                phone.lobby.on_hangup(
                    "NORMAL_CLEARING" if how == "hangs up" else "NETWORK_OUT_OF_ORDER"
                )
            await asyncio.wait_for(phone.task, 3)
            phone.lobby.on_transfer_failed("NO_ANSWER")  # too late: nothing happens
            phone.lobby.on_whisper("x")
            phone.lobby.on_hold(True)
        return phone

    phone = run(talk())
    by = {"hangs up": "caller", "is stopped": "system", "is lost": "system"}[how]
    assert phone.last_record.ended_by == by and phone.stream.is_closed
    assert not [r for r in caplog.records if r.levelname == "ERROR"]
