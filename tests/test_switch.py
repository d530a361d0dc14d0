"""Calls through the real FreeSWITCH with the shipped configuration, `ivr switch` and two workers.

The carrier is a SIP peer at 127.0.0.2, which is also everybody that we ring. The engines are emulated,
so that words are known; all else is what runs on site. Without FreeSWITCH on PATH all is skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import pytest_asyncio
import soxr

from appliance.audio import read_wav, sound_spans
from appliance.events import Agent, CallRecord, Turn
from appliance.store.legs import Leg
from appliance.store.phonebook import Queue, Trunk
from bench import script as bench_script
from tests.freeswitch_kit import FreeSwitch, needs_freeswitch
from tests.sippeer import Answer, Peer, PeerCall, Refuse, Ring, peer
from tests.switch_kit import SwitchSite, switched_site

pytestmark = [
    needs_freeswitch,
    pytest.mark.server,
    pytest.mark.sip,
    pytest.mark.asyncio(loop_scope="module"),
]

CARRIER = "127.0.0.2"
DID, OTHER_DID, CLOSED_DID, MENU_DID = (f"+91224000123{n}" for n in (4, 5, 6, 7))
PERSON, BUSY, NOBODY = "+919800011111", "+919800022222", "+919800033333"
SHORT = "On Saturday we are open from nine until two."
RESUME_WITHIN_S = 2.0


def agents(sample: Agent) -> dict[str, Agent]:
    """Who answers which number."""
    quick = dataclasses.replace(
        sample,
        id="quick",
        greeting="Hello.",
        goodbye="Goodbye.",
        apology="I am sorry.",
        resume_phrase="Please go on.",
        transfer_phrase="One moment.",
        transfer_failed_phrase="Nobody is there.",
        transfer_to=PERSON,
        silence_prompts=("Hello?",),
        silence_ms=30_000,
        keypad={"1": "What are your opening hours on Saturday?"},
    )
    other = dataclasses.replace(
        quick, id="other", greeting="This is another agent altogether, good day.", record=False,
        transfer_to="queue:desk", transfer_mode="blind",
    )  # fmt: skip
    menu = dataclasses.replace(
        quick,
        id="menu",
        language_menu={"1": "quick", "2": "other"},
        language_prompt="Press one or two.",
    )
    return {DID: quick, OTHER_DID: other, CLOSED_DID: quick, MENU_DID: menu}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = bench_script.make(tmp_path_factory.mktemp("script"))
    whole = orjson.loads(path.read_bytes())
    for utterance in whole["utterances"]:
        if utterance["id"] == "hours":
            utterance["answer"] = SHORT
    path.write_bytes(orjson.dumps(whole))
    return path


@pytest.fixture(scope="module")
def hours(script: Path) -> bytes:
    """The caller asks for the opening hours: L16 at 8 kHz."""
    (pcm,), rate_hz = read_wav(script.parent / "hours.wav")
    assert rate_hz == 16000
    half = soxr.resample(np.frombuffer(pcm, "<i2"), rate_hz, 8000)
    return half.astype("<i2").tobytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(open_tmp: Path, script: Path) -> AsyncIterator[tuple[SwitchSite, FreeSwitch, Peer]]:
    folder = open_tmp / "switch"
    folder.mkdir()
    async with (
        switched_site(folder, open_tmp / "embedded", script, agents) as (site, fs),
        peer(CARRIER) as carrier,
    ):
        carrier.policies = {
            PERSON: Answer(0.3), BUSY: Refuse(486), NOBODY: Ring(), "2001": Answer(0.1),
        }  # fmt: skip
        trunk = Trunk(
            "carrier", f"{CARRIER}:{carrier.port}", addresses=(f"{CARRIER}/32",), ping_s=0,
            caller_id=DID,
        )  # fmt: skip
        await asyncio.to_thread(site.add_trunk, trunk)
        queue = Queue("desk", (BUSY, PERSON), "order", ring_s=5, max_wait_s=30)
        await asyncio.to_thread(site.add_queue, queue)
        await asyncio.to_thread(site.forget_number, "*")
        yield site, fs, carrier


@pytest_asyncio.fixture(loop_scope="module")
async def site(
    place: tuple[SwitchSite, FreeSwitch, Peer],
) -> AsyncIterator[tuple[SwitchSite, FreeSwitch, Peer]]:
    """The site, whole again and with no live call after each test."""
    yield place
    site, _fs, carrier = place
    for call in carrier.calls:
        with contextlib.suppress(TimeoutError):
            await call.hang_up()
    with contextlib.suppress(TimeoutError):
        while True:
            await carrier.incoming(0.01)  # what a test has not looked at
    await asyncio.to_thread(site.mend)
    await until(lambda: not site.live())


async def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """Poll until ``condition`` holds; what it gave."""
    deadline = time.monotonic() + timeout_s
    while not (value := await asyncio.to_thread(condition)):
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.05)
    return value


_numbers = iter(range(10_000, 99_999))


async def ring(fs: FreeSwitch, carrier: Peer, did: str = DID) -> tuple[PeerCall, str]:
    """A call from the carrier, and the number it comes from."""
    number = f"+9199800{next(_numbers)}"
    call = await carrier.ring(f"sip:{did}@127.0.0.1:{fs.sip_port}", number)
    return call, number


def spans(call: PeerCall) -> list[tuple[int, int]]:
    """When the caller heard something, in ms of what was received."""
    return sound_spans(call.heard(), 8000)


async def sound_after(call: PeerCall, at_s: float, timeout_s: float = 10.0) -> float:
    """Seconds from ``at_s`` (monotonic) to the first 20 ms of sound that came after it."""

    def found() -> float | None:
        for when, frame in call.frames:
            if when > at_s and max(abs(x) for x in memoryview(frame).cast("h")) > 500:
                return when - at_s + 1e-9
        return None

    return float(await until(found, timeout_s))


async def quiet(call: PeerCall, for_s: float = 0.6) -> None:
    """Wait until nothing was heard for so long."""

    def still() -> bool:
        last = [f for when, f in call.frames if when > time.monotonic() - for_s]
        return len(last) > 10 and all(max(map(abs, memoryview(f).cast("h"))) < 500 for f in last)

    await until(still, 20)


async def rows(site: SwitchSite, number: str) -> tuple[CallRecord, list[Turn]]:
    return await site.rows(number[1:])


async def legs(site: SwitchSite, call_id: str, count: int) -> list[Leg]:
    """The legs of a call, once all of them have ended."""

    def ended() -> list[Leg]:
        found = site.legs(call_id)
        return found if len(found) >= count and all(leg.ended_at for leg in found) else []

    return list(await until(ended))


Place = tuple[SwitchSite, FreeSwitch, Peer]


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


def tone(seconds: float) -> bytes:
    """A voice that is nobody's: 440 Hz, L16 at 8 kHz."""
    t = np.arange(int(8000 * seconds)) / 8000
    return (8000 * np.sin(2 * np.pi * 440 * t)).astype("<i2").tobytes()
