"""Calls through the real FreeSWITCH with the shipped configuration, `ivr switch` and two workers.

The carrier is a SIP peer at 127.0.0.2, which is also everybody that we ring. The engines are emulated,
so that words are known; all else is what runs on site. Without FreeSWITCH on PATH all is skipped.
"""

from __future__ import annotations

import asyncio
import time

from appliance.audio import read_wav, sound_spans
from tests.sippeer import Answer, Refuse
from tests.switch_place import (
    BUSY,
    CLOSED_DID,
    DID,
    MENU_DID,
    OTHER_DID,
    PERSON,
    SHORT,
    THROUGH_FREESWITCH,
    Place,
    agents,
    environment,
    hours,
    legs,
    place,
    quiet,
    ring,
    rows,
    script,
    site,
    sound_after,
    spans,
    tone,
    until,
)

FIXTURES = (agents, environment, script, hours, place, site)
pytestmark = THROUGH_FREESWITCH

RESUME_WITHIN_S = 2.0


# --- in ------------------------------------------------------------------------------------------


async def test_a_call_is_answered_heard_recorded_and_told_of(site: Place, hours: bytes) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier)
    assert call.answered
    await quiet(call)
    said_s = call.play(hours)
    await asyncio.sleep(max(0, said_s - time.monotonic()))
    await sound_after(call, said_s)
    await quiet(call)
    await call.hang_up()
    record, turns = await rows(place, number)
    assert (record.did, record.agent_id, record.cause, record.ended_by) == (
        DID, "quick", "NORMAL_CLEARING", "caller",
    )  # fmt: skip
    assert [turn.source for turn in turns] == ["greeting", "llm"]
    assert turns[1].said == "what are your opening hours on saturday"
    (leg,) = await legs(place, record.call_id, 1)
    assert (leg.trunk, leg.callee, leg.cause_code, leg.ended_by) == ("carrier", DID, 16, "them")
    assert leg.answered_at
    (caller, agent), rate_hz = read_wav(place.settings.recordings_dir / record.recording)
    assert rate_hz == 8000
    asked, answered = sound_spans(caller, rate_hz), sound_spans(agent, rate_hz)
    assert asked[-1][1] - asked[0][0] > 1500 and len(answered) >= 2
    assert answered[-1][0] > asked[-1][1] - 200  # the answer lies after the question
    assert len(caller) == len(agent) > len(call.heard()) * 0.9


async def test_each_number_has_its_agent_and_an_unknown_one_nobody(site: Place) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier, OTHER_DID[1:])  # as some carriers write it
    await quiet(call)
    await call.hang_up()
    record, _ = await rows(place, number)
    assert (record.agent_id, record.did, record.recording) == ("other", OTHER_DID, "")
    stranger, _ = await ring(fs, carrier, "+912299999999")
    assert stranger.status == 404


async def test_keys_reach_the_agent(site: Place) -> None:
    place, fs, carrier = site
    for info in (False, True):
        call, number = await ring(fs, carrier)
        await quiet(call)
        await call.press("1", info=info)
        await sound_after(call, time.monotonic())
        await quiet(call)
        await call.hang_up()
        _, turns = await rows(place, number)
        assert turns[-1].reply == SHORT


async def test_speaking_over_the_agent_stops_it(site: Place, hours: bytes) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier, OTHER_DID)  # a long greeting
    await sound_after(call, 0)
    call.play(hours)
    await asyncio.sleep(6)
    await call.hang_up()
    _, turns = await rows(place, number)
    assert turns[0].source == "greeting" and turns[0].barged_in


async def test_a_language_is_chosen_by_key(site: Place) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier, MENU_DID)
    await sound_after(call, 0)
    await asyncio.sleep(0.5)
    await call.press("2")
    await until(lambda: [c for c in place.live() if c["state"] == "talking"])
    await quiet(call)
    await call.hang_up()
    record, _ = await rows(place, number)
    assert record.agent_id == "other"


async def test_outside_the_hours_the_notice_and_then_the_end(site: Place) -> None:
    place, fs, carrier = site
    await asyncio.to_thread(place.set_hours, CLOSED_DID, "daily 00:00-00:01", "We are closed now.")
    call, _ = await ring(fs, carrier, CLOSED_DID)
    assert call.answered
    await sound_after(call, 0)
    assert await call.ended(15) == "them"


# --- trouble --------------------------------------------------------------------------------------


async def test_a_worker_that_dies_is_replaced_and_nothing_is_forgotten(
    site: Place, hours: bytes
) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier)
    await quiet(call)
    said_s = call.play(hours)
    await asyncio.sleep(max(0, said_s - time.monotonic()))
    await sound_after(call, said_s)
    await quiet(call)
    (live,) = await asyncio.to_thread(place.live)
    await asyncio.to_thread(place.kill, place.worker_of(live["worker"]))
    killed_s = time.monotonic()
    assert await sound_after(call, killed_s) < RESUME_WITHIN_S
    await quiet(call)
    assert call.state.name == "UP"
    await call.press("1")
    await sound_after(call, time.monotonic())
    await quiet(call)
    await call.hang_up()
    record, turns = await rows(place, number)
    assert record.part == 2
    assert [turn.source for turn in turns] == ["greeting", "llm", "resume", "llm"]
    (caller, _), _ = read_wav(place.settings.recordings_dir / record.recording)
    assert len(caller) > len(call.heard()) * 0.9  # one recording over both


async def test_the_switch_dies_and_comes_back_and_the_call_goes_on(site: Place) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier)
    await quiet(call)
    await asyncio.to_thread(place.kill, "switch")
    await asyncio.to_thread(place.start, "switch")
    (live,) = await until(place.live)
    assert (live["state"], live["part"], live["agent"]) == ("talking", 1, "quick")
    await call.press("1")
    await sound_after(call, time.monotonic())
    await quiet(call)
    await call.hang_up()
    record, turns = await rows(place, number)
    assert [turn.source for turn in turns] == ["greeting", "llm"] and record.part == 1


async def test_without_the_switch_the_apology_and_a_clean_end(site: Place) -> None:
    place, fs, carrier = site
    await asyncio.to_thread(place.kill, "switch")
    call, _ = await ring(fs, carrier)
    assert call.answered
    await sound_after(call, 0, 8)
    assert await call.ended(40) == "them"


async def test_without_workers_the_apology_and_the_person_of_the_number(site: Place) -> None:
    place, fs, carrier = site
    await asyncio.to_thread(place.set_overflow, DID, PERSON)
    await asyncio.to_thread(place.kill, "worker", "worker.1")
    await asyncio.sleep(1.5)
    call, _ = await ring(fs, carrier)
    person = await carrier.incoming(15)
    assert person.to_user == PERSON and spans(call)
    await until(lambda: person.answered)
    person.play(bytes(1600) + tone(1.0))
    await sound_after(call, time.monotonic())
    await call.hang_up()
    assert await person.ended() == "them"


async def test_freeswitch_restarts_and_calls_are_taken_again(site: Place) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier)
    await quiet(call)
    await fs.restart(kill=True)
    await until(lambda: not place.live())
    record, _ = await rows(place, number)
    assert record.ended_at and record.cause
    call, number = await ring(fs, carrier)
    assert call.answered
    await sound_after(call, 0)
    await call.hang_up()


# --- persons --------------------------------------------------------------------------------------


async def test_a_person_hears_the_summary_and_then_the_caller(site: Place, hours: bytes) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier)
    await quiet(call)
    await call.press("0")
    person = await carrier.incoming(10)
    assert (person.to_user, person.from_user) == (PERSON, DID)
    await until(lambda: person.answered)
    await sound_after(person, 0)  # the summary
    await until(lambda: place.live()[0]["state"] == "person", 20)
    call.play(hours)
    since_s = time.monotonic()
    assert await sound_after(person, since_s) < 1.0
    await quiet(call)
    person.play(tone(0.5))
    await sound_after(call, time.monotonic())
    await person.hang_up()
    assert await call.ended() == "them"
    record, _ = await rows(place, number)
    assert record.transferred_to == PERSON and record.summary
    assert (record.cause, record.ended_by) == ("ATTENDED_TRANSFER", "agent")
    _caller, other = await legs(place, record.call_id, 2)
    assert (other.kind, other.callee, other.trunk) == ("person", PERSON, "carrier")


async def test_nobody_comes_and_the_caller_is_the_agents_again(site: Place) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier)
    await quiet(call)
    (live,) = await asyncio.to_thread(place.live)
    path = f"/v1/calls/{live['call_id']}/transfer"
    await asyncio.to_thread(place.api, "POST", path, {"to": BUSY})
    await until(lambda: place.live()[0]["state"] == "talking")
    await call.press("1")
    await sound_after(call, time.monotonic())
    await call.hang_up()
    record, turns = await rows(place, number)
    assert record.cause == "NORMAL_CLEARING" and turns[-1].reply.startswith("On Sat")


async def test_a_blind_transfer_to_a_queue_and_back(site: Place) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier, OTHER_DID)
    await quiet(call)
    await call.press("0")
    busy = await carrier.incoming(10)
    person = await carrier.incoming(10)
    assert (busy.to_user, person.to_user) == (BUSY, PERSON)
    await until(lambda: person.answered)
    await sound_after(person, 0)  # the summary
    await quiet(person, 1.0)
    person.play(tone(1.0))
    await sound_after(call, time.monotonic())
    await call.hang_up()
    record, _ = await rows(place, number)
    assert record.cause == "BLIND_TRANSFER" and record.transferred_to == "queue:desk"

    carrier.policies[PERSON] = Refuse(486)
    try:
        call, number = await ring(fs, carrier, OTHER_DID)
        await quiet(call)
        await call.press("0")
        await until(
            lambda: [c for c in place.live() if c["part"] == 2 and c["state"] == "talking"], 40
        )
        await quiet(call)
        await call.hang_up()
        record, turns = await rows(place, number)
        assert record.part == 2 and turns[-1].source == "resume"
        assert turns[-1].reply == "Nobody is there."
    finally:
        carrier.policies[PERSON] = Answer(0.3)
