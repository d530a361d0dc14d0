"""Persons, supervisors and telephones on live calls, through the real FreeSWITCH.

Our own telephones are SIP peers that register by digest; the carrier is everybody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import math
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import pytest_asyncio
import soxr

from appliance.audio import read_wav
from appliance.events import Agent
from appliance.rehearsal import script as bench_script
from appliance.store.phonebook import Extension, Queue
from tests.appliance_kit import Agents
from tests.sippeer import Answer, Peer, PeerCall, Refuse, Ring, peer
from tests.switch_kit import SwitchSite
from tests.switch_place import (
    BUSY,
    DID,
    NOBODY,
    OTHER_DID,
    PERSON,
    SHORT,
    THROUGH_FREESWITCH,
    Place,
    environment,
    everybody,
    legs,
    place,
    quiet,
    ring,
    rows,
    site,
    sound_after,
    until,
)

FIXTURES = (environment, place, site)
pytestmark = THROUGH_FREESWITCH

DESK_DID, WORDS_DID, FAILING_DID, MARKER_DID, SHY_DID = (f"+91224000130{n}" for n in range(5))
DESK, BACK = "2001", "2002"
ELSEWHERE = "127.0.0.7"
"""A SIP server that is no trunk's."""
PASSWORD = "a long one"
UNKNOWN = "I am sorry, I do not have that information."
ADVICE = "I will get you somebody for that."
CALLER_HZ, PERSON_HZ, SUPERVISOR_HZ = 440, 900, 1500
SILENCE_MS = 2500
MAX_WAIT_S = 7
BACK_WITHIN_S = 15.0

Speak = Callable[[str], bytes]
Phones = tuple[Peer, Peer]


def _everybody(sample: Agent) -> dict[str, Agent]:
    known = everybody(sample)
    quick = dataclasses.replace(known[DID], unknown_answer=UNKNOWN)
    change = dataclasses.replace
    return {
        DID: known[DID],
        OTHER_DID: change(known[OTHER_DID], transfer_to="queue:twice"),
        DESK_DID: change(quick, id="desk", transfer_to=DESK),
        WORDS_DID: change(
            quick, id="words", transfer_to="queue:all", transfer_words=("nearest office",)
        ),
        FAILING_DID: change(quick, id="failing", transfer_after_failures=2),
        MARKER_DID: change(quick, id="marker", transfer_to=BACK),
        SHY_DID: change(quick, id="shy", silence_ms=SILENCE_MS, silence_prompts=("Hello?",) * 9),
    }


@pytest.fixture(scope="module")
def agents() -> Agents:
    return _everybody


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = bench_script.make(tmp_path_factory.mktemp("script"))
    whole = orjson.loads(path.read_bytes())
    answers = {"hours": SHORT, "router": UNKNOWN, "refund": f"{ADVICE} [transfer]"}
    for utterance in whole["utterances"]:
        utterance["answer"] = answers.get(utterance["id"], utterance["answer"])
    path.write_bytes(orjson.dumps(whole))
    return path


@pytest.fixture(scope="module")
def speak(script: Path) -> Speak:
    """What a caller says, by its name in the script: L16 at 8 kHz."""

    def pcm(name: str) -> bytes:
        (wide,), rate_hz = read_wav(script.parent / f"{name}.wav")
        half = soxr.resample(np.frombuffer(wide, "<i2"), rate_hz, 8000)
        return bytes(half.astype("<i2").tobytes())

    return pcm


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def phones(place: Place) -> AsyncIterator[Phones]:
    """Two telephones of our own, registered."""
    running, fs, _ = place
    async with peer("127.0.0.5") as desk, peer("127.0.0.6") as back:
        for name in (DESK, BACK):
            secret = hashlib.md5(f"{name}:{fs.domain}:{PASSWORD}".encode()).hexdigest()
            await asyncio.to_thread(running.add_extension, Extension(name, secret, f"Phone {name}"))
        server = ("127.0.0.1", fs.phones_port)
        for phone, name in ((desk, DESK), (back, BACK)):
            assert await phone.register(name, PASSWORD, fs.domain, server) == 200
        queues = (
            Queue("all", (DESK, BACK, NOBODY), "all", ring_s=20, max_wait_s=30),
            Queue("order", (BUSY, DESK, BACK), "order", ring_s=3, max_wait_s=30),
            Queue("busy", (BUSY,), "order", ring_s=3, max_wait_s=MAX_WAIT_S),
            Queue("twice", (BUSY, BACK), "order", ring_s=20, max_wait_s=30),
        )
        for queue in queues:
            await asyncio.to_thread(running.add_queue, queue)
        yield desk, back


@pytest_asyncio.fixture(loop_scope="module")
async def people(site: Place, phones: Phones) -> AsyncIterator[Phones]:
    """The two telephones: nobody answers them unless a test says so."""
    for phone in phones:
        phone.policy = Ring()
    yield phones
    for phone in phones:
        for call in phone.calls:
            await call.hang_up()
        with contextlib.suppress(TimeoutError):
            while True:
                await phone.incoming(0.01)


# --- what is heard --------------------------------------------------------------------------------


def sine(hz: int, seconds: float) -> bytes:
    t = np.arange(int(8000 * seconds)) / 8000
    return bytes((8000 * np.sin(2 * np.pi * hz * t)).astype("<i2").tobytes())


def share(call: PeerCall, hz: int, since_s: float) -> float:
    """The loudest 200 ms at ``hz`` among what was heard since: 1 is a voice of :func:`sine`."""
    pcm = b"".join(frame for when, frame in call.frames if when > since_s)
    samples = np.frombuffer(pcm, "<i2").astype(float)
    pieces = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600)
    turning = np.exp(-2j * np.pi * hz * np.arange(1600) / 8000)
    loud = 2 * np.abs(pieces @ turning) / 1600 / 8000
    return float(loud.max(initial=0))


def spoken(call: PeerCall, since_s: float, until_s: float = math.inf) -> bool:
    """Whether anything was heard then."""
    frames = [frame for when, frame in call.frames if since_s < when < until_s]
    return any(max(map(abs, memoryview(frame).cast("h"))) > 500 for frame in frames)


async def hears(call: PeerCall, hz: int, since_s: float) -> None:
    await until(lambda: share(call, hz, since_s) > 0.5)


async def talk(one: PeerCall, other: PeerCall) -> None:
    """Both hear each other, one as the caller, the other as the person."""
    since_s = time.monotonic()
    one.play(sine(CALLER_HZ, 1.0))
    other.play(sine(PERSON_HZ, 1.0))
    await hears(other, CALLER_HZ, since_s)
    await hears(one, PERSON_HZ, since_s)


async def say(call: PeerCall, pcm: bytes) -> float:
    """Say it to the end; when that was."""
    until_s = call.play(pcm)
    await asyncio.sleep(max(0.0, until_s - time.monotonic()))
    return until_s


async def state(place: SwitchSite, name: str, timeout_s: float = BACK_WITHIN_S) -> dict[str, Any]:
    """Wait for the one live call to come to a state; what is known of it."""
    try:
        (found,) = await until(lambda: [c for c in place.live() if c["state"] == name], timeout_s)
    except AssertionError as e:
        raise AssertionError(f"no call is {name}:\n{place.log('switch')[-4000:]}") from e
    return dict(found)


async def answers(call: PeerCall) -> None:
    """The agent is there: it answers a key."""
    await quiet(call)
    await call.press("1")
    await sound_after(call, time.monotonic())
    await quiet(call)


async def ivr(place: SwitchSite, *words: str) -> tuple[int, str]:
    """An ``ivr`` command, as the operator types it: its status, and what it says."""
    done = await asyncio.to_thread(place.ivr, *words)
    return done.returncode, done.stdout + done.stderr


async def live(place: SwitchSite) -> str:
    """Id of the one live call."""
    (call,) = await asyncio.to_thread(place.live)
    return str(call["call_id"])


async def api(place: SwitchSite, call_id: str, what: str, **body: str) -> None:
    await asyncio.to_thread(place.api, "POST", f"/v1/calls/{call_id}/{what}", body)


# --- telephones -----------------------------------------------------------------------------------


async def test_a_telephone_registers_rings_an_agent_and_another_telephone(
    site: Place, people: Phones
) -> None:
    place, fs, _ = site
    desk, back = people
    async with peer(ELSEWHERE) as stranger:
        server = ("127.0.0.1", fs.phones_port)
        assert await stranger.register(DESK, "wrong", fs.domain, server) in (401, 403)
        refused = await stranger.ring(f"sip:{DID}@127.0.0.1:{fs.phones_port}", DESK)
        assert refused.status in (401, 403, 407)
    to = f"127.0.0.1:{fs.phones_port}"
    login = (DESK, PASSWORD)
    call = await desk.ring(f"sip:{DID}@{to}", DESK, domain=fs.domain, login=login)
    assert call.answered
    await answers(call)
    await call.hang_up()
    await until(lambda: not place.live())

    back.policy = Answer(0.3)
    call = await desk.ring(f"sip:{BACK}@{to}", DESK, domain=fs.domain, login=login)
    other = await back.incoming()
    assert call.answered and other.from_user == DESK
    await talk(call, other)
    call_id = await live(place)
    await other.hang_up()
    assert await call.ended() == "them"
    mine, theirs = sorted(await legs(place, call_id, 2), key=lambda leg: leg.kind)
    assert (mine.kind, mine.caller, mine.callee) == ("caller", DESK, BACK)
    assert (theirs.kind, theirs.callee, theirs.ended_by) == ("person", BACK, "them")

    back.policy = Refuse(486)
    call = await desk.ring(f"sip:{BACK}@{to}", DESK, domain=fs.domain, login=login)
    assert call.status == 486
    call = await desk.ring(f"sip:2999@{to}", DESK, domain=fs.domain, login=login)
    assert call.status == 404


# --- ways to a person -----------------------------------------------------------------------------


async def test_by_key_to_an_extension(site: Place, people: Phones) -> None:
    place, fs, carrier = site
    desk, _ = people
    desk.policy = Answer(0.3)
    call, number = await ring(fs, carrier, DESK_DID)
    await quiet(call)
    await call.press("0")
    person = await desk.incoming(10)
    await sound_after(person, 0)  # the summary
    await state(place, "person")
    await talk(call, person)
    await call.hang_up()
    assert await person.ended() == "them"
    record, _ = await rows(place, number)
    assert (record.transferred_to, record.cause) == (DESK, "ATTENDED_TRANSFER")
    caller, other = sorted(await legs(place, record.call_id, 2), key=lambda leg: leg.kind)
    assert (caller.kind, caller.ended_by, caller.cause) == ("caller", "them", "NORMAL_CLEARING")
    assert (other.kind, other.callee, other.ended_by, other.trunk) == ("person", DESK, "us", "")
    assert other.answered_at and other.cause == "NORMAL_CLEARING"


async def test_by_words_to_a_queue_of_which_all_ring(
    site: Place, people: Phones, speak: Speak
) -> None:
    place, fs, carrier = site
    desk, back = people
    call, number = await ring(fs, carrier, WORDS_DID)
    await quiet(call)
    await say(call, speak("address"))
    phones = await asyncio.gather(*(p.incoming(10) for p in (desk, back, carrier)))
    assert [p.to_user for p in phones] == [DESK, BACK, NOBODY]
    await asyncio.sleep(0.3)
    first, second, third = phones
    await second.answer()
    assert [await p.ended() for p in (first, third)] == ["them", "them"]
    assert not first.answered and not third.answered
    await state(place, "person")
    await talk(call, second)
    await call.hang_up()
    record, _ = await rows(place, number)
    assert record.transferred_to == "queue:all"
    found = await legs(place, record.call_id, 4)
    others = {
        leg.callee: leg.cause for leg in found if leg.kind == "person" and not leg.answered_at
    }
    assert others == {DESK: "LOSE_RACE", NOBODY: "LOSE_RACE"}


async def test_after_turns_without_an_answer(site: Place, people: Phones, speak: Speak) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier, FAILING_DID)
    for _ in range(2):
        await quiet(call)
        said_s = await say(call, speak("router"))
        await sound_after(call, said_s)
    person = await carrier.incoming(15)
    assert person.to_user == PERSON
    await state(place, "person")
    await talk(call, person)
    await person.hang_up()
    record, turns = await rows(place, number)
    assert record.transferred_to == PERSON
    assert [turn.source for turn in turns] == ["greeting", "llm", "llm", "transfer"]


async def test_by_the_model_s_decision_with_its_summary(
    site: Place, people: Phones, speak: Speak
) -> None:
    place, fs, carrier = site
    _, back = people
    call, number = await ring(fs, carrier, MARKER_DID)
    await quiet(call)
    await say(call, speak("refund"))
    person = await back.incoming(15)
    await asyncio.sleep(3)  # the model's summary comes while the telephone rings
    await person.answer()
    answered_s = time.monotonic()
    assert await sound_after(person, answered_s) < 2
    heard_s = time.monotonic()
    await state(place, "person")
    assert time.monotonic() - heard_s > 0.5
    await talk(call, person)
    await call.hang_up()
    record, turns = await rows(place, number)
    assert record.transferred_to == BACK and record.summary.startswith(ADVICE)
    assert "[transfer]" not in "".join(turn.reply for turn in turns) + record.summary


async def test_to_a_sip_address_by_command(site: Place, people: Phones) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier)
    await quiet(call)
    status, text = await ivr(place, "live", "--json")
    (known,) = orjson.loads(text)["calls"]
    assert status == 0, text
    assert known["caller"] == number and known["state"] == "talking"
    toll = f"sip:desk@{carrier.host}:{carrier.port}"
    status, text = await ivr(place, "live", "transfer", known["call_id"][:8], toll)
    assert status != 0 and "cannot be rung" in text  # carriers are rung through their trunks alone
    async with peer(ELSEWHERE) as branch:
        branch.policies["desk"] = Answer(0.2)
        to = f"sip:desk@{branch.host}:{branch.port}"
        status, text = await ivr(place, "live", "transfer", known["call_id"][:8], to, "--json")
        assert status == 0, text
        assert orjson.loads(text)["to"] == to
        person = await branch.incoming()
        assert person.to_user == "desk"
        await state(place, "person")
        await talk(call, person)
        status, text = await ivr(place, "live")
        assert status == 0, text
        assert known["call_id"][:8] in text and "person" in text
        status, text = await ivr(place, "live", "hangup", known["call_id"], "--json")
        assert status == 0, text
        assert await call.ended() == "them" and await person.ended() == "them"
    caller, other = sorted(await legs(place, known["call_id"], 2), key=lambda leg: leg.kind)
    assert caller.ended_by == "us" and other.callee == "desk"
    status, text = await ivr(place, "live", "hangup", known["call_id"])
    assert status != 0 and "no live call" in text
    record, _ = await rows(place, number)
    assert record.transferred_to == to
    await until(lambda: not place.live())


async def test_a_queue_in_order_passes_on(site: Place, people: Phones) -> None:
    place, fs, carrier = site
    desk, back = people
    call, _ = await ring(fs, carrier)
    await quiet(call)
    call_id = await live(place)
    await api(place, call_id, "transfer", to="queue:order")
    assert (await carrier.incoming()).to_user == BUSY
    first = await desk.incoming()  # does not come
    second = await back.incoming(8)
    assert await first.ended() == "them"
    await second.answer()
    await state(place, "person")
    await talk(call, second)
    await second.hang_up()
    await call.ended()
    found = {leg.callee: leg for leg in await legs(place, call_id, 4) if leg.kind == "person"}
    busy = found[BUSY]
    assert (busy.cause, busy.cause_code, busy.sip_status) == ("USER_BUSY", 17, 486)
    assert busy.ended_by == "them" and not busy.answered_at
    assert found[DESK].ended_by == "us" and found[BACK].ended_by == "them"


async def test_a_busy_queue_is_rung_again_until_the_caller_has_waited_enough(
    site: Place, people: Phones
) -> None:
    place, fs, carrier = site
    call, _ = await ring(fs, carrier)
    await quiet(call)
    begun_s = time.monotonic()
    await api(place, await live(place), "transfer", to="queue:busy")
    await state(place, "transferring")
    await state(place, "talking")
    waited_s = time.monotonic() - begun_s
    rung = [await carrier.incoming(0.1) for _ in range(2)]
    assert {p.to_user for p in rung} == {BUSY} and 3 < waited_s < MAX_WAIT_S + 3
    await answers(call)
    await call.hang_up()


# --- those who go --------------------------------------------------------------------------------


async def test_the_caller_goes_while_the_person_s_telephone_rings(
    site: Place, people: Phones
) -> None:
    place, fs, carrier = site
    desk, _ = people
    for wait_s in (0.0, 0.5):  # at once: before FreeSWITCH has made the person's channel
        call, number = await ring(fs, carrier, DESK_DID)
        await quiet(call)
        if wait_s:
            await call.press("0")
            person = await desk.incoming()
            await asyncio.sleep(wait_s)
            await call.hang_up()
        else:
            await api(place, await live(place), "transfer", to=DESK)
            await call.hang_up()
            try:
                person = await desk.incoming(1)
            except TimeoutError:
                continue
        assert await person.ended(3) == "them" and not person.answered
    record, _ = await rows(place, number)
    assert record.cause == "NORMAL_CLEARING" and record.ended_by == "caller"
    _, other = sorted(await legs(place, record.call_id, 2), key=lambda leg: leg.kind)
    assert (other.cause, other.ended_by) == ("ORIGINATOR_CANCEL", "us")


async def test_one_of_the_two_goes_while_the_summary_is_read(site: Place, people: Phones) -> None:
    place, fs, carrier = site
    desk, _ = people
    desk.policy = Answer(0.1)
    call, number = await ring(fs, carrier, DESK_DID)
    await quiet(call)
    await call.press("0")
    person = await desk.incoming()
    await sound_after(person, 0)
    await person.hang_up()
    await state(place, "talking")
    gone_s = time.monotonic()
    await sound_after(call, gone_s)  # "Nobody is there."
    await answers(call)
    await call.press("0")
    person = await desk.incoming()
    await sound_after(person, 0)
    await call.hang_up()
    assert await person.ended(3) == "them"
    record, _ = await rows(place, number)
    assert record.ended_by == "caller"
    assert len([leg for leg in await legs(place, record.call_id, 3) if leg.kind == "person"]) == 2


# --- trouble --------------------------------------------------------------------------------------


async def test_the_switch_dies_while_a_person_s_telephone_rings(
    site: Place, people: Phones
) -> None:
    place, fs, carrier = site
    desk, _ = people
    call, number = await ring(fs, carrier, DESK_DID)
    await quiet(call)
    await call.press("0")
    person = await desk.incoming()
    await asyncio.sleep(1)
    await asyncio.to_thread(place.kill, "switch")
    await asyncio.to_thread(place.start, "switch")
    back_s = time.monotonic()
    assert await person.ended() == "them" and not person.answered
    await state(place, "talking")
    await sound_after(call, back_s)  # "Nobody is there."
    await answers(call)
    await call.press("0")  # and it can be asked for again
    person = await desk.incoming()
    await person.answer()
    await state(place, "person")
    await talk(call, person)
    await call.hang_up()
    record, _ = await rows(place, number)
    assert record.part == 1 and record.cause == "ATTENDED_TRANSFER"


async def test_the_switch_dies_while_a_person_has_the_call(site: Place, people: Phones) -> None:
    place, fs, carrier = site
    desk, _ = people
    desk.policy = Answer(0.1)
    call, _ = await ring(fs, carrier, DESK_DID)
    await quiet(call)
    await call.press("0")
    person = await desk.incoming()
    live_ = await state(place, "person")
    await asyncio.to_thread(place.kill, "switch")
    await talk(call, person)
    await asyncio.to_thread(place.start, "switch")
    again = await state(place, "person")
    assert again["call_id"] == live_["call_id"]
    await talk(call, person)
    await person.hang_up()
    assert await call.ended() == "them"
    assert {leg.kind for leg in await legs(place, live_["call_id"], 2)} == {"caller", "person"}


async def test_both_go_while_the_switch_is_away_and_their_legs_are_closed(
    site: Place, people: Phones
) -> None:
    place, fs, carrier = site
    desk, _ = people
    desk.policy = Answer(0.1)
    call, _ = await ring(fs, carrier, DESK_DID)
    await quiet(call)
    await call.press("0")
    person = await desk.incoming()
    live_ = await state(place, "person")
    await until(lambda: len(place.legs(live_["call_id"])) == 2)
    await asyncio.to_thread(place.kill, "switch")
    await call.hang_up()
    await person.ended()
    await asyncio.to_thread(place.start, "switch")
    assert all(leg.cause for leg in await legs(place, live_["call_id"], 2))


async def test_a_blind_transfer_outlives_the_switch(site: Place, people: Phones) -> None:
    place, fs, carrier = site
    _, back = people
    call, _ = await ring(fs, carrier, OTHER_DID)
    await quiet(call)
    await call.press("0")
    person = await back.incoming(10)
    await asyncio.to_thread(place.kill, "switch")
    await asyncio.to_thread(place.start, "switch")
    await until(place.live)
    await asyncio.sleep(1)
    assert person.state.name == "RINGING", "the transfer was broken off"
    carrier.policies[BUSY] = Answer(0.1)
    try:
        await person.refuse(486)
        # the next of the queue has had his turn: nobody is left, and the agent takes the caller back
        await state(place, "talking")
        await answers(call)
    finally:
        carrier.policies[BUSY] = Refuse(486)
    await call.hang_up()


async def test_a_worker_dies_while_a_person_s_telephone_rings(site: Place, people: Phones) -> None:
    place, fs, carrier = site
    desk, _ = people
    call, number = await ring(fs, carrier, DESK_DID)
    await quiet(call)
    await call.press("0")
    person = await desk.incoming()
    (live_,) = await asyncio.to_thread(place.live)
    await asyncio.to_thread(place.kill, place.worker_of(live_["worker"]))
    await asyncio.sleep(2)
    await person.answer()
    await state(place, "person")
    await talk(call, person)
    await call.hang_up()
    record, _ = await rows(place, number)
    assert record.part == 2 and record.cause == "ATTENDED_TRANSFER"


# --- supervisors ----------------------------------------------------------------------------------


async def test_a_supervisor_listens_to_an_agent_s_call(site: Place, people: Phones) -> None:
    place, fs, carrier = site
    _, back = people
    back.policy = Answer(0.1)
    call, number = await ring(fs, carrier)
    await quiet(call)
    call_id = await live(place)
    status, text = await ivr(place, "supervise", call_id[:8], "--from", BACK, "--json")
    assert status == 0, text
    assert orjson.loads(text)["mode"] == "listen"
    supervisor = await back.incoming()
    await until(lambda: supervisor.answered and len(supervisor.frames) > 20)
    since_s = time.monotonic()
    supervisor.play(sine(SUPERVISOR_HZ, 3))
    call.play(sine(CALLER_HZ, 0.5))
    await hears(supervisor, CALLER_HZ, since_s)
    pressed_s = time.monotonic()
    await call.press("1")
    await sound_after(call, pressed_s)
    await sound_after(supervisor, pressed_s + 0.5)  # the agent
    assert share(call, SUPERVISOR_HZ, since_s) < 0.05
    await quiet(call)
    await call.hang_up()
    assert await supervisor.ended() == "them"
    record, _ = await rows(place, number)
    assert record.cause == "NORMAL_CLEARING"
    kinds = {leg.kind: leg for leg in await legs(place, call_id, 2)}
    assert kinds["supervisor"].callee == BACK and kinds["supervisor"].ended_by == "us"


async def test_a_supervisor_whispers_to_the_person_who_has_the_call(
    site: Place, people: Phones
) -> None:
    place, fs, carrier = site
    desk, back = people
    desk.policy = back.policy = Answer(0.1)
    call, _ = await ring(fs, carrier, DESK_DID)
    await quiet(call)
    call_id = await live(place)
    whisper = ("supervise", call_id, "--from", BACK, "--mode", "whisper")
    status, text = await ivr(place, *whisper)
    assert status != 0 and "No person has that call" in text and "--say" in text
    await call.press("0")
    person = await desk.incoming()
    await state(place, "person")
    status, text = await ivr(place, *whisper)
    assert status == 0, text
    supervisor = await back.incoming()
    await until(lambda: supervisor.answered and len(supervisor.frames) > 20)
    since_s = time.monotonic()
    supervisor.play(sine(SUPERVISOR_HZ, 1.5))
    call.play(sine(CALLER_HZ, 1.5))
    person.play(sine(PERSON_HZ, 1.5))
    await hears(person, SUPERVISOR_HZ, since_s)
    await hears(person, CALLER_HZ, since_s)
    await hears(supervisor, CALLER_HZ, since_s)
    await hears(supervisor, PERSON_HZ, since_s)
    await hears(call, PERSON_HZ, since_s)
    await asyncio.sleep(0.7)
    assert share(call, SUPERVISOR_HZ, since_s) < 0.05
    await supervisor.hang_up()
    await talk(call, person)
    await call.hang_up()
    assert {leg.kind for leg in await legs(place, call_id, 3)} == {"caller", "person", "supervisor"}


async def test_a_supervisor_takes_a_call_over(site: Place, people: Phones) -> None:
    place, fs, carrier = site
    _, back = people
    call, number = await ring(fs, carrier)
    await quiet(call)
    call_id = await live(place)
    take = ("supervise", call_id, "--from", BACK, "--mode", "take-over")
    status, text = await ivr(place, *take)
    assert status == 0, text
    supervisor = await back.incoming()
    await answers(call)  # the agent goes on meanwhile
    rung_s = time.monotonic()
    await supervisor.refuse(486)
    await state(place, "talking")
    await asyncio.sleep(1)
    assert not spoken(call, rung_s), (
        "the agent tells of a transfer that the caller knows nothing of"
    )
    await answers(call)
    back.policy = Answer(0.1)
    status, text = await ivr(place, *take)
    supervisor = await back.incoming()
    await state(place, "person")
    await talk(call, supervisor)
    await supervisor.hang_up()
    assert await call.ended() == "them"
    found = await legs(place, call_id, 3)
    await until(lambda: not place.live())
    async with asyncio.timeout(5):
        while (record := (await rows(place, number))[0]).transferred_to != BACK:
            await asyncio.sleep(0.1)
    assert (record.cause, record.ended_by) == ("ATTENDED_TRANSFER", "agent")
    assert sorted(leg.kind for leg in found) == ["caller", "supervisor", "supervisor"]


async def test_an_agent_is_told_by_text(site: Place, people: Phones) -> None:
    place, fs, carrier = site
    call, _ = await ring(fs, carrier)
    await quiet(call)
    (known,) = await asyncio.to_thread(place.live)
    worker = place.worker_of(known["worker"])
    note = 'Say "we\'re open", \\ then ${stop}; नमस्ते'
    status, text = await ivr(place, "supervise", known["call_id"], "--say", note, "--json")
    assert status == 0, text
    await until(lambda: f"< whisper, {len(note)} letters" in place.log(worker))
    await answers(call)
    await call.hang_up()


# --- hold -----------------------------------------------------------------------------------------


async def test_a_caller_who_holds_the_line_is_not_asked_whether_they_are_there(
    site: Place, people: Phones
) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier, SHY_DID)
    await quiet(call)
    assert await call.hold() == 200
    held_s = time.monotonic()
    (known,) = await asyncio.to_thread(place.live)
    worker = place.worker_of(known["worker"])
    await until(lambda: "< held" in place.log(worker))
    await asyncio.sleep(SILENCE_MS / 1000 + 1.5)
    assert await call.resume() == 200
    back_s = time.monotonic()
    await until(lambda: "< no longer held" in place.log(worker))
    assert not spoken(call, held_s + 0.2, back_s)
    await call.press("1")
    await sound_after(call, time.monotonic())
    await quiet(call)
    assert await sound_after(call, time.monotonic()) < SILENCE_MS / 1000 + 3  # asked again now
    await call.hang_up()
    _, turns = await rows(place, number)
    assert SHORT in [turn.reply for turn in turns]
