"""Trunks, limits, hostile callers, recordings and faults, behind the real FreeSWITCH.

As tests/test_switch.py: the carrier is a SIP peer, the engines are emulated, all else is what runs on
site. Without FreeSWITCH on PATH all is skipped.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import signal
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from appliance.audio import read_wav, sound_spans, ulaw_encode
from appliance.events import Agent
from tests.appliance_kit import Agents
from tests.freeswitch_kit import FreeSwitch, free_port
from tests.rawsip import Telephone
from tests.registrar import PASSWORD, REALM, USER, Registrar, serve
from tests.sippeer import Answer, Peer, PeerCall, State, peer
from tests.switch_kit import SwitchSite
from tests.switch_place import (
    CARRIER,
    DID,
    OTHER_DID,
    PERSON,
    SHORT,
    THROUGH_FREESWITCH,
    Place,
    everybody,
    hours,
    legs,
    place,
    quiet,
    ring,
    rows,
    script,
    site,
    sound_after,
    tone,
    until,
)
from tests.test_botcall import Bot

__all__ = ["hours", "place", "script", "site"]  # fixtures

pytestmark = THROUGH_FREESWITCH

REGISTRAR, BY_ADDRESS, MOVED, STRANGER = (f"127.0.0.{n}" for n in (4, 5, 6, 9))
BOT_DID, NOTICE_DID = "+912240001238", "+912240001239"
NOTICE = "This call is recorded."
MOST_CALLS = 50
INDIAN_FORMS = ("+912240001234", "912240001234", "02240001234", "2240001234", "00912240001234")
MARK = Path("/tmp/ivr-was-here")
"""What a caller would make if FreeSWITCH ran what they dial."""
HOSTILE_USERS = (
    "${system(touch /tmp/ivr-was-here)}", "$%7Bsystem(touch%20/tmp/ivr-was-here)%7D",
    "%0d%0aX-Evil:%20yes", "1234%00", "a" * 3000, "'; DROP TABLE calls; --", "+91%2522",
    "../../etc/passwd", "%F0%9F%98%80",
)  # fmt: skip
FROZEN_S = 3.0
CARRIED_ON_WITHIN_S = 10.0
RACES, BURST = 120, 12
LEAKED_KIB = 8 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bot() -> AsyncIterator[Bot]:
    made = Bot()
    await made.open()
    yield made
    await made.close()


@pytest.fixture(scope="module")
def agents(bot: Bot) -> Agents:
    def published(sample: Agent) -> dict[str, Agent]:
        known = everybody(sample)
        quick = known[DID]
        announced = dataclasses.replace(quick, id="announced", recording_notice=NOTICE)
        external = dataclasses.replace(quick, id="external", bot_url=bot.url)
        return known | {NOTICE_DID: announced, BOT_DID: external}

    return published


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {"IVR_SWITCH__MAX_CALLS": str(MOST_CALLS)}


@asynccontextmanager
async def guest(address: str) -> AsyncIterator[Peer]:
    """A peer whose calls end with it."""
    async with peer(address) as made:
        try:
            yield made
        finally:
            for call in made.calls:
                with suppress(TimeoutError):
                    await call.hang_up()


async def ivr(place: SwitchSite, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command that must succeed."""
    done = await asyncio.to_thread(place.ivr, *words, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done


async def state_of(place: SwitchSite, trunk: str) -> str:
    """As ``ivr trunks`` tells it."""
    told = orjson.loads((await ivr(place, "trunks", "--json")).stdout)
    return str({t["name"]: t["state"] for t in told["trunks"]}.get(trunk, "gone"))


async def comes_to(place: SwitchSite, trunk: str, *states: str) -> None:
    async with asyncio.timeout(20):
        while await state_of(place, trunk) not in states:
            await asyncio.sleep(0.2)


async def answers_keys(call: PeerCall) -> None:
    """The call is alive: a key is answered."""
    assert call.state is State.UP
    await quiet(call)
    pressed_s = time.monotonic()
    await call.press("1")
    await sound_after(call, pressed_s + 0.2)
    await quiet(call)


async def status(place: SwitchSite) -> dict[str, Any]:
    return await asyncio.to_thread(place.api, "GET", "/v1/status")


async def nothing_is_left(place: SwitchSite, fs: FreeSwitch) -> None:
    """No call, greenlet, port or channel."""
    left: Any = None
    try:
        async with asyncio.timeout(15):
            while left != (0, 0, 0, 0, []):
                now = await status(place)
                names = ("calls", "call_greenlets", "playback_ports", "ringing")
                left = (*(now[name] for name in names), await fs.channels())
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"left over: {left}")
    assert fs.process is not None and fs.process.returncode is None


# --- trunks ---------------------------------------------------------------------------------------


async def test_a_trunk_that_registers_is_added_mistaken_mended_and_removed(site: Place) -> None:
    place, _fs, _carrier = site
    registrar = Registrar(contacts=True)
    async with guest(REGISTRAR) as caller:
        with serve(registrar, "udp", host=REGISTRAR) as port:
            await ivr(
                place, "trunks", "add", "reg", "--proxy", f"{REGISTRAR}:{port}", "--register",
                "--username", USER, "--realm", REALM, "--ping", "5", "--password-stdin",
                stdin=f"{PASSWORD}\n",
            )  # fmt: skip
            await comes_to(place, "reg", "REGED")
            call, number = await ring_contact(registrar, caller, DID)
            assert call.answered
            await answers_keys(call)

            await ivr(place, "trunks", "change", "reg", "--password-stdin", stdin="wrong\n")
            await until(lambda: 0 in expiries(registrar))  # the old one is taken back first
            await comes_to(place, "reg", "down (FAIL_WAIT)")
            assert expiries(registrar)[-1] > 0, (expiries(registrar), place.log("switch")[-2000:])
            told = await asyncio.to_thread(place.ivr, "trunks", "diagnose", "reg")
            assert told.returncode == 1
            assert f"The password of user {USER} is refused" in told.stdout, told.stdout

            await ivr(place, "trunks", "change", "reg", "--password-stdin", stdin=f"{PASSWORD}\n")
            await comes_to(place, "reg", "REGED")
            await ivr(place, "trunks", "remove", "reg")
            await until(lambda: expiries(registrar)[-1] == 0)
            assert await state_of(place, "reg") == "gone"
            late, _ = await ring_contact(registrar, caller, DID)
            assert late.status == 403
            await answers_keys(call)  # all the while
            await call.hang_up()
    record, _ = await rows(place, number)
    assert record.did == DID
    (leg,) = await legs(place, record.call_id, 1)
    assert leg.trunk == "reg"


async def ring_contact(registrar: Registrar, caller: Peer, did: str) -> tuple[PeerCall, str]:
    """As carriers do: to the Contact that was registered; the DID stands in To alone."""
    bound = [m for m in registrar.asked if m.method == "REGISTER" and m.headers.get("contact")]
    contact = bound[-1].headers.get("contact").partition("<")[2].partition(">")[0]
    number = f"+91998{random.randrange(10**7):07}"
    return await caller.ring(contact, number, to=f"sip:{did}@{REALM}"), number


def expiries(registrar: Registrar) -> list[int]:
    """Of every REGISTER that binds, in seconds; 0 ends one. A diagnosis only asks."""
    asked = [m.headers for m in registrar.asked if m.method == "REGISTER"]
    return [int(headers.get("expires")) for headers in asked if headers.get("contact")]


async def test_a_trunk_by_address_comes_and_goes(site: Place) -> None:
    place, fs, _carrier = site
    async with guest(BY_ADDRESS) as caller:
        before, _ = await ring(fs, caller)
        assert before.status == 403
        await ivr(
            place, "trunks", "add", "by-address", "--proxy", f"{BY_ADDRESS}:{caller.port}",
            "--address", f"{BY_ADDRESS}/32", "--ping", "5",
        )  # fmt: skip
        call, number = await ring(fs, caller)
        assert call.answered
        assert await state_of(place, "by-address") == "NOREG"
        await ivr(place, "trunks", "remove", "by-address")
        after, _ = await ring(fs, caller)
        assert after.status == 403
        await answers_keys(call)
        await call.hang_up()
    record, _ = await rows(place, number)
    (leg,) = await legs(place, record.call_id, 1)
    assert leg.trunk == "by-address"


async def test_a_trunk_moves_to_another_proxy(site: Place) -> None:
    place, fs, carrier = site
    call, _ = await ring(fs, carrier)
    await quiet(call)
    async with guest(MOVED) as new:
        new.policy = Answer(0.1)
        await ivr(place, "trunks", "change", "carrier", "--proxy", f"{MOVED}:{new.port}")
        try:
            await call.press("0")
            person = await new.incoming(10)
            assert person.to_user == PERSON
            await until(lambda: place.live()[0]["state"] == "person", 20)
            await call.hang_up()
            assert await person.ended() == "them"
        finally:
            await ivr(place, "trunks", "change", "carrier", "--proxy", f"{CARRIER}:{carrier.port}")


async def test_trunks_of_one_carrier_are_told_apart_by_their_number(site: Place) -> None:
    place, fs, carrier = site
    await ivr(
        place, "trunks", "add", "second", "--proxy", f"{CARRIER}:{carrier.port}",
        "--address", f"{CARRIER}/32", "--caller-id", OTHER_DID, "--carrier", "one", "--ping", "0",
    )  # fmt: skip
    try:
        for did, trunk in ((DID, "carrier"), (OTHER_DID[1:], "second")):
            call, number = await ring(fs, carrier, did)
            await quiet(call)
            await call.hang_up()
            record, _ = await rows(place, number)
            (leg,) = await legs(place, record.call_id, 1)
            assert leg.trunk == trunk
    finally:
        await ivr(place, "trunks", "remove", "second")


async def test_a_full_trunk_refuses_or_hands_to_the_numbers_person(site: Place) -> None:
    place, fs, carrier = site
    await ivr(place, "trunks", "change", "carrier", "--max-calls", "1")
    try:
        first, _ = await ring(fs, carrier)
        assert first.answered
        second, _ = await ring(fs, carrier)
        assert second.status == 503
        await asyncio.to_thread(place.set_overflow, DID, "2001")  # a telephone that is not there
        third, _ = await ring(fs, carrier)
        assert third.answered
        await sound_after(third, 0)
        await third.hang_up()
        await answers_keys(first)
        await first.hang_up()
        await until(lambda: not place.live())
        again, _ = await ring(fs, carrier)
        assert again.answered
        await answers_keys(again)
    finally:
        await asyncio.to_thread(place.set_overflow, DID, "")
        await ivr(place, "trunks", "change", "carrier", "--max-calls", "0")


async def test_srtp_required_refuses_a_call_without(site: Place) -> None:
    place, fs, carrier = site
    await ivr(place, "trunks", "change", "carrier", "--srtp", "required")
    try:
        call, _ = await ring(fs, carrier)
        assert call.status == 488
    finally:
        await ivr(place, "trunks", "change", "carrier", "--srtp", "optional")


# --- callers --------------------------------------------------------------------------------------


async def test_strangers_and_wrong_numbers_are_refused(site: Place) -> None:
    _place, fs, carrier = site
    events = await fs.connect()
    await events.subscribe("CHANNEL_CREATE")
    try:
        async with guest(STRANGER) as stranger:
            call, _ = await ring(fs, stranger)
            assert call.status == 403
        assert events.events == [] and await fs.channels() == []
    finally:
        await events.close()
    call, _ = await ring(fs, carrier, "+912299999999")
    assert call.status == 404


async def test_a_number_in_every_indian_form_reaches_its_agent(site: Place) -> None:
    place, fs, carrier = site
    calls = await asyncio.gather(*(ring(fs, carrier, form) for form in INDIAN_FORMS))
    assert [call.status for call, _ in calls] == [200] * len(INDIAN_FORMS)
    await asyncio.gather(*(quiet(call) for call, _ in calls))
    for call, number in calls:
        await call.hang_up()
        record, _ = await rows(place, number)
        assert (record.did, record.agent_id) == (DID, "quick")


async def test_hostile_sip_does_not_touch_live_calls(site: Place) -> None:
    _place, fs, carrier = site
    call, _ = await ring(fs, carrier)
    await quiet(call)
    for junk in malformed(fs.sip_port):
        carrier.send(junk, ("127.0.0.1", fs.sip_port))
    async with Telephone.at(CARRIER, ("127.0.0.1", fs.sip_port)) as fuzzer:
        for user in HOSTILE_USERS:
            assert (await fuzzer.call(user, timeout_s=1.0)).status not in (200, 183), user
    assert not MARK.exists()
    await answers_keys(call)
    evil = await carrier.ring(
        f"sip:{DID}@127.0.0.1:{fs.sip_port}", "%0AEvent-Name:%20X", name='a\\"${uuid} b'
    )
    assert evil.answered
    await answers_keys(evil)


def malformed(port: int) -> Iterator[bytes]:
    """What a fuzzer sends first."""
    uri = f"sip:{DID}@127.0.0.1:{port}"
    head = f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bKx\r\n"
    yield b"\x00" * 200
    yield os.urandom(1000)
    yield b"INVITE\r\n\r\n"
    yield f"INVITE {uri} SIP/9.9\r\n\r\n".encode()
    yield (head + "Content-Length: 99999999\r\n\r\n").encode()
    yield (head + "CSeq: -1 INVITE\r\nCall-ID: \r\nFrom: <\r\nTo: >\r\n\r\n").encode()
    yield (head + "X: " + "y" * 20_000 + "\r\n\r\n").encode()
    yield (head + "Call-ID: a\r\nCSeq: 1 INVITE\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
           f"Contact: <sip:a@{CARRIER}>\r\nContent-Type: application/sdp\r\n"
           "Content-Length: 12\r\n\r\nm=audio -1 x\r\n").encode()  # fmt: skip
    yield f"BYE {uri} SIP/2.0\r\nCall-ID: nobody\r\nCSeq: 1 BYE\r\n\r\n".encode()


async def test_callers_who_hang_up_at_any_moment_leave_nothing_behind(site: Place) -> None:
    place, fs, carrier = site
    await nothing_is_left(place, fs)
    chance = random.Random(20)
    for _ in range(BURST):  # what the first calls load stays
        await hasty(fs, carrier, chance.uniform(0, 0.4))
    await nothing_is_left(place, fs)
    before_kib = rss_kib(place.pid("switch"))
    for _ in range(RACES // BURST):
        await asyncio.gather(*(hasty(fs, carrier, chance.uniform(0, 0.4)) for _ in range(BURST)))
        await asyncio.sleep(0.1)
    await nothing_is_left(place, fs)
    assert rss_kib(place.pid("switch")) - before_kib < LEAKED_KIB
    call, _ = await ring(fs, carrier)
    await answers_keys(call)


async def hasty(fs: FreeSwitch, carrier: Peer, patience_s: float) -> None:
    """A caller who hangs up so long after INVITE: CANCEL, or BYE where it was answered."""
    number = f"+91997{random.randrange(10**7):07}"
    call = carrier.dial(f"sip:{DID}@127.0.0.1:{fs.sip_port}", number)
    await asyncio.sleep(0.001 + patience_s)
    await call.hang_up()


def rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has gone")


async def test_as_many_calls_as_allowed_and_no_more(site: Place) -> None:
    place, fs, carrier = site
    calls: list[tuple[PeerCall, str]] = []
    for at in range(MOST_CALLS):
        number = f"+91996{random.randrange(10**4):04}{at:03}"
        calls.append((carrier.dial(f"sip:{DID}@127.0.0.1:{fs.sip_port}", number), number))
        await asyncio.sleep(0.05)
    assert await asyncio.gather(*(call.final(20) for call, _ in calls)) == [200] * MOST_CALLS
    refused, _ = await ring(fs, carrier)
    assert refused.status == 503
    await asyncio.gather(*(sound_after(call, 0, 20) for call, _ in calls))
    assert all(call.state is State.UP for call, _ in calls)
    await asyncio.gather(*(call.hang_up() for call, _ in calls))
    for _, number in calls:
        record, turns = await rows(place, number)
        assert record.cause == "NORMAL_CLEARING" and turns[0].source == "greeting"
        (leg,) = await legs(place, record.call_id, 1)
        assert leg.cause_code == 16
    await nothing_is_left(place, fs)


# --- recordings -----------------------------------------------------------------------------------


async def test_the_recording_is_announced_first_and_belongs_to_the_group(site: Place) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier, NOTICE_DID)
    await quiet(call)
    await call.hang_up()
    record, turns = await rows(place, number)
    assert turns[0].source == "greeting" and turns[0].reply.startswith(NOTICE)
    file = place.settings.recordings_dir / record.recording
    (caller, agent), rate_hz = read_wav(file)
    assert not sound_spans(caller, rate_hz) and sound_spans(agent, rate_hz)
    folder = file.parent
    while folder != place.settings.data_dir:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o2770, folder
        folder = folder.parent


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk to fill")
async def test_a_full_disk_costs_the_recording_and_not_the_call(site: Place) -> None:
    place, fs, carrier = site
    with small_disk(place.settings.recordings_dir, "48k") as folder:
        call, number = await ring(fs, carrier)
        await answers_keys(call)
        await answers_keys(call)
        assert sum(f.stat().st_size for f in folder.rglob("*.wav")) <= 48 * 1024
        await call.hang_up()
        record, turns = await rows(place, number)
        assert record.cause == "NORMAL_CLEARING" and turns[-1].reply == SHORT
        await until(lambda: not place.live())


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of ``size`` bytes in place of ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


# --- a bot of one's own ---------------------------------------------------------------------------


async def test_a_bot_answers_through_freeswitch(site: Place, bot: Bot) -> None:
    place, fs, carrier = site

    async def greet() -> None:
        await bot.say(ulaw_encode(tone(1.0)))

    bot.on_start = greet
    call, number = await ring(fs, carrier, BOT_DID)
    assert call.answered
    await sound_after(call, 0)
    call.play(tone(1.0))
    await until(lambda: sound_spans(bot.heard, 8000))
    (start,) = bot.told("start")
    assert start["start"]["customParameters"]["caller"] == number
    await call.press("7")
    await until(lambda: bot.told("dtmf"))
    assert bot.ws is not None
    await bot.ws.close()
    assert await call.ended() == "them"
    record, _ = await rows(place, number)
    assert (record.agent_id, record.ended_by) == ("external", "agent")


# --- faults ---------------------------------------------------------------------------------------


async def test_a_wrong_password_or_a_taken_port_ends_the_switch_with_one_sentence(
    site: Place, tmp_path: Path
) -> None:
    place, _fs, _ = site
    wrong = {
        "IVR_DATA_DIR": str(tmp_path), "IVR_DATABASE__URL": place.postgres.url,
        "IVR_SWITCH__API_PORT": str(free_port()),
    }  # fmt: skip
    done = await asyncio.to_thread(place.ivr, "switch", **wrong)
    assert done.returncode == 2, done.stderr
    assert "refuses the event socket's password" in done.stderr
    assert "Traceback" not in done.stderr
    done = await asyncio.to_thread(place.ivr, "switch")
    assert done.returncode == 2, done.stderr
    assert "cannot listen on" in done.stderr and "Traceback" not in done.stderr
    assert "ERROR" not in done.stderr.splitlines()[0]
    assert (await status(place))["freeswitch"]


async def test_freeswitch_stands_still_for_a_while(site: Place) -> None:
    _place, fs, carrier = site
    call, _ = await ring(fs, carrier)
    await quiet(call)
    os.kill(fs.pid, signal.SIGSTOP)
    try:
        late = carrier.dial(f"sip:{DID}@127.0.0.1:{fs.sip_port}", "+919960001111")
        await asyncio.sleep(FROZEN_S)
    finally:
        os.kill(fs.pid, signal.SIGCONT)
    assert await late.final(20) == 200
    await answers_keys(late)
    await answers_keys(call)


async def test_a_frozen_worker_loses_its_calls_to_the_other(site: Place) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier)
    await answers_keys(call)
    (live,) = await asyncio.to_thread(place.live)
    frozen = place.worker_of(live["worker"])
    place.send(frozen, signal.SIGSTOP)
    frozen_s = time.monotonic()
    try:
        assert await sound_after(call, frozen_s + 0.3, 20) < CARRIED_ON_WITHIN_S
        await answers_keys(call)
        other, _ = await ring(fs, carrier)
        assert other.answered
        await other.hang_up()
        await call.hang_up()
        await until(lambda: not place.live())
    finally:
        place.send(frozen, signal.SIGCONT)
    await asyncio.sleep(1.0)  # what it still has to say of the call, it says now
    record, turns = await rows(place, number)
    assert (record.part, record.cause) == (2, "NORMAL_CLEARING")
    assert [turn.source for turn in turns] == ["greeting", "llm", "resume", "llm"]


async def test_a_worker_that_drains_keeps_its_calls_and_gets_no_other(site: Place) -> None:
    place, fs, carrier = site
    call, _ = await ring(fs, carrier)
    await quiet(call)
    (live,) = await asyncio.to_thread(place.live)
    leaving = place.worker_of(live["worker"])
    place.send(leaving, signal.SIGTERM)
    await asyncio.sleep(1.5)
    other, _ = await ring(fs, carrier)
    assert other.answered
    workers = {c["worker"] for c in await asyncio.to_thread(place.live)}
    assert len(workers) == 2
    await answers_keys(call)
    await call.hang_up()
    assert await asyncio.to_thread(place.ended, leaving) == 0
    await answers_keys(other)


async def test_rows_of_a_call_come_when_postgres_is_back(site: Place) -> None:
    place, fs, carrier = site
    call, number = await ring(fs, carrier)
    await quiet(call)
    await asyncio.to_thread(place.postgres.stop)
    try:
        await answers_keys(call)
        await call.hang_up()
        refused, _ = await ring(fs, carrier, "+912299999999")
        assert refused.status == 404  # the numbers read last stay in force
        await asyncio.sleep(1)
    finally:
        await asyncio.to_thread(place.postgres.start)
    record, turns = await rows(place, number)
    assert (record.cause, len(turns)) == ("NORMAL_CLEARING", 2)
    (leg,) = await legs(place, record.call_id, 1)
    assert leg.cause_code == 16 and leg.ended_at
