"""What an agent keeps in mind over a whole call, on virtual time: the real call, and a language model
that takes notes as one would."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from telephone import Telephone, agent_with
from virtualtime import run

from appliance.call.history import STEP_TURNS, WINDOW_TURNS
from appliance.call.past import Past
from appliance.errors import EngineError
from appliance.events import Agent, Message, Offer, Turn

NAMED = {
    "1": "my name is asha rao",
    **{str(n): f"my question about plan {n} please" for n in range(2, 10)},
}
AGENT = agent_with(keypad=NAMED, silence_ms=60_000)


@dataclass
class FakeNotes:
    """Notes the callers' names and how often they spoke; :attr:`took_s` for each."""

    took_s: float = 1.0
    heeds_priorities: bool = True
    busy: bool = False
    errors: list[str] = field(default_factory=list)
    """What the next tries fail with."""
    asked: list[Sequence[Message]] = field(default_factory=list)
    broken_off: int = 0
    running: int = 0

    def has_room(self) -> bool:
        return not self.busy

    async def note(self, messages: Sequence[Message], **_: object) -> str:
        self.asked.append(messages)
        self.running += 1
        try:
            await asyncio.sleep(self.took_s)
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        finally:
            self.running -= 1
        if self.errors:
            error = self.errors.pop(0)
            if error == "bug":
                raise ZeroDivisionError
            if error:
                raise EngineError("llm", error)
            return ""
        text = messages[-1].content
        names = re.findall(r"[Nn]ame is ([a-z ]+)", text)
        return f"The caller says their name is {names[0]}." if names else "Nobody knows who calls."


async def turns(phone: Telephone, keys: str) -> None:
    """One turn a key: it is pressed when the answer before has been heard."""
    for key in keys:
        before = len(phone.turns)
        phone.press(key)
        await phone.until(lambda: phone.sounding)
        await phone.quiet()
        assert len(phone.turns) == before + 1


def talk(
    notes: FakeNotes | None, keys: str, agent: Agent = AGENT, past: Past | None = None
) -> Telephone:
    async def go() -> Telephone:
        phone = Telephone(agent)
        phone.writer.answer = "Yes."
        phone.notes = notes
        if past is not None:
            phone.past.before = past
        async with phone.call():
            await phone.quiet()
            await turns(phone, keys)
        return phone

    return run(go())


def prompt(phone: Telephone, number: int = -1) -> str:
    return "\n".join(m.content for m in phone.writer.prompts[number])


THIRTY = "1" + "23456789" * 3 + "23456"


@pytest.mark.parametrize("slots", [{}, {"name": "the caller's own name"}])
def test_the_name_given_in_turn_1_is_in_the_prompt_of_turn_30(slots: dict[str, str]) -> None:
    notes = FakeNotes()
    phone = talk(notes, THIRTY, agent_with(keypad=NAMED, silence_ms=60_000, slots=slots))
    assert len(phone.writer.prompts) == 30
    assert "asha rao" in prompt(phone)
    said = [line for line in prompt(phone).splitlines() if line.startswith("my ")]
    assert WINDOW_TURNS - 1 <= len(said) <= WINDOW_TURNS + STEP_TURNS
    assert ("my name is asha rao" in said) is False  # not because the turn is still there
    assert len(notes.asked) == 5 and phone.last_record.facts.get("name", "") == (
        "asha rao" if slots else ""
    )  # fmt: skip
    assert phone.last_record.memory == "The caller says their name is asha rao."
    assert phone.last_record.remembered == 20


def test_without_a_language_model_the_callers_own_words_are_kept() -> None:
    phone = talk(None, THIRTY)
    assert "asha rao" in prompt(phone) and "The caller said: my name is asha rao" in prompt(phone)


def test_a_name_is_a_fact_in_the_next_turn() -> None:
    phone = talk(FakeNotes(), "12")
    assert "The caller has told you: name: asha rao" in phone.writer.prompts[1][-1].content
    assert phone.last_record.facts == {"name": "asha rao"}


def test_the_row_is_written_when_turns_leave_so_that_whoever_takes_over_knows() -> None:
    phone = talk(FakeNotes(), THIRTY[:12])
    living = [r for r in phone.journal.records if r.ended_at is None and r.memory]
    assert len(living) == 1 and living[0].remembered == 4 and living[0].facts["name"] == "asha rao"
    assert [e["letters"] for e in phone.told("remembered")] == [len(living[0].memory)]


def test_turns_stay_while_no_summary_comes_and_leave_when_one_does() -> None:
    notes = FakeNotes(errors=["away", "", "bug", "away"])
    phone = talk(notes, THIRTY[:17])
    assert "my name is asha rao" in prompt(phone, 12)
    assert not notes.errors and len(notes.asked) >= 5
    assert "my name is asha rao" not in prompt(phone).splitlines()
    assert phone.last_record.memory


def test_a_reply_waits_for_no_summary() -> None:
    slow, none = FakeNotes(took_s=5), FakeNotes(took_s=0.01)
    gaps = []
    for notes in (none, slow):
        phone = talk(notes, THIRTY)
        gaps.append([t.stages.first_frame - t.stages.turn_given for t in phone.turns if t.said])  # type: ignore[operator]
    assert gaps[0] == gaps[1]


def test_where_servers_know_no_priorities_a_summary_gives_way_to_the_turn() -> None:
    notes = FakeNotes(took_s=3, heeds_priorities=False)
    phone = talk(notes, THIRTY[:14])
    assert notes.broken_off >= 1 and notes.running == 0
    assert "my name is asha rao" in prompt(phone)  # the turns have stayed
    assert not phone.last_record.memory


def test_with_no_room_nothing_is_asked_and_with_room_again_it_is() -> None:
    async def go() -> Telephone:
        phone = Telephone(AGENT)
        phone.writer.answer = "Yes."
        phone.notes = notes = FakeNotes(busy=True)
        async with phone.call():
            await phone.quiet()
            await turns(phone, THIRTY[:11])
            await phone.wait(2000)
            assert not notes.asked
            notes.busy = False
            await phone.wait(2000)
            assert len(notes.asked) == 1
        return phone

    assert run(go()).last_record.memory


def test_the_end_of_the_call_ends_the_summary_under_way() -> None:
    notes = FakeNotes(took_s=60)
    phone = talk(notes, THIRTY[:12])
    assert notes.broken_off == 1 and phone.last_record.ended_by == "caller"


def test_callers_words_are_never_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    talk(FakeNotes(errors=["", "away"]), THIRTY)
    assert "asha" not in caplog.text and "turns are remembered" in caplog.text


# --- going on with a call that was cut off --------------------------------------------------------

CONTINUES = agent_with(keypad=NAMED, silence_ms=60_000, continue_minutes=10, id="A")


def past_call() -> Past:
    phone = talk(FakeNotes(), "123", CONTINUES)
    return Past(
        continues="call-0000",
        memory="They want fibre.",
        facts={"name": "asha rao"},
        earlier=tuple(phone.turns),
    )


def test_a_call_that_was_cut_off_goes_on() -> None:
    phone = talk(FakeNotes(), "4", CONTINUES, past_call())
    first = phone.turns[0]
    assert (first.source, first.heard, first.index) == ("resume", CONTINUES.continue_phrase, 1)
    text = prompt(phone)
    assert "They want fibre." in text and "Facts: name: asha rao" in text
    assert "my question about plan 3 please" in text and CONTINUES.continue_phrase in text
    record = phone.last_record
    assert record.continues == "call-0000" and record.facts == {"name": "asha rao"}
    assert record.memory == "They want fibre." and record.remembered == 0


def test_an_agent_without_continue_minutes_begins_anew() -> None:
    phone = talk(FakeNotes(), "4", AGENT, past_call())
    assert phone.turns[0].source == "greeting" and not phone.last_record.continues
    assert "fibre" not in prompt(phone)


def test_the_recording_notice_is_said_to_them_too() -> None:
    async def go() -> list[Turn]:
        agent = agent_with(
            keypad=NAMED, continue_minutes=10, recording_notice="This call is recorded."
        )
        phone = Telephone(agent)
        phone.offer = Offer(
            "call-0001", "1001", "+91", 8000, ("127.0.0.1", 9), recording="there.wav"
        )
        phone.past.before = past_call_once
        async with phone.call():
            await phone.quiet()
        return phone.turns

    past_call_once = past_call()
    first, second = run(go())[:2]
    assert first.heard == "This call is recorded." and second.heard == AGENT.continue_phrase


def test_a_part_of_a_call_begins_with_what_its_row_says() -> None:
    whole = talk(FakeNotes(), THIRTY)
    record, rows = whole.last_record, tuple(whole.turns)

    async def go() -> Telephone:
        phone = Telephone(AGENT)
        phone.writer.answer = "Yes."
        phone.notes = FakeNotes()
        phone.offer = Offer(
            "call-0001", "1001", "+91", 8000, ("127.0.0.1", 9), part=2, resumed="worker"
        )
        phone.past.past = Past(record, rows, len(rows), "", record.memory, record.facts)
        async with phone.call():
            await phone.quiet()
            await turns(phone, "2")
        return phone

    phone = run(go())
    own = [m.content for m in phone.writer.prompts[-1]]
    before = [m.content for m in whole.writer.prompts[-1]]
    assert (
        own[:4] == before[:4]
    )  # prompt, memory and the turns after it: as the first part had them
    assert phone.journal.records[0].remembered == record.remembered > 0
