"""`ivr switch` and two workers behind the stand-in for FreeSWITCH: what every machine can run.

The same ways of a call as in tests/test_switch.py, where a real FreeSWITCH takes them.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import pytest_asyncio
from sqlalchemy import Row, text

from appliance.audio import read_wav, sound_spans
from appliance.ops.keeping.ports import free_ports
from appliance.store.phonebook import Queue, Trunk
from tests.appliance_kit import Agents
from tests.freeswitch_standin import Standin, standin
from tests.sippeer import Answer, Refuse
from tests.standin_party import Party, State
from tests.switch_kit import SwitchSite
from tests.switch_place import (
    BUSY,
    DID,
    OTHER_DID,
    PERSON,
    SHORT,
    agents,
    hours,
    legs,
    quiet,
    rows,
    script,
    sound_after,
    tone,
    until,
)

__all__ = ["agents", "hours", "script"]
pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]
Place = tuple[SwitchSite, Standin]
_numbers = iter(range(10_000, 99_999))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(open_tmp: Path, script: Path, agents: Agents) -> AsyncIterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="standin-", dir=open_tmp))
    folder.chmod(0o755)
    async with standin(folder) as fs:
        fs.policies = {PERSON: Answer(0.2), BUSY: Refuse(486)}
        fs.add_gateway("carrier")
        switch = {
            "esl_port": str(fs.event_port),
            "conf_dir": str(folder / "conf"),
            "playback_port": str(free_ports(1)[0]),
        }
        site = SwitchSite(folder / "site", open_tmp / "embedded", script, switch, {})
        fs.password = site.settings.secret("event-socket")
        try:
            await asyncio.to_thread(site.open, agents)
            trunk = Trunk("carrier", "127.0.0.1:5999", addresses=("127.0.0.1/32",), caller_id=DID)
            await asyncio.to_thread(site.add_trunk, trunk)
            await asyncio.to_thread(
                site.add_queue, Queue("desk", (BUSY, PERSON), "order", ring_s=5)
            )
            await asyncio.to_thread(site.forget_number, "*")
            yield site, fs
        finally:
            await asyncio.to_thread(site.close)


@pytest_asyncio.fixture(loop_scope="module")
async def site(place: Place) -> AsyncIterator[Place]:
    yield place
    site, fs = place
    for channel in list(fs.channels.values()):
        channel.hangup("NORMAL_CLEARING")
    await asyncio.to_thread(site.mend)
    await until(lambda: not site.live())


async def ring(fs: Standin, did: str = DID) -> tuple[Party, str]:
    """A call from the carrier, answered or refused, and the number it comes from."""
    number = f"+9199800{next(_numbers)}"
    caller = await fs.call(did, number)
    await caller.final()
    return caller, number


async def test_a_call_is_answered_heard_recorded_and_told_of(site: Place, hours: bytes) -> None:
    place, fs = site
    call, number = await ring(fs)
    await quiet(call)
    said_s = call.play(hours)
    await asyncio.sleep(max(0, said_s - time.monotonic()))
    await sound_after(call, said_s)
    await quiet(call)
    await call.press("1")
    await sound_after(call, time.monotonic())
    await quiet(call)
    await call.hang_up()
    record, turns = await rows(place, number)
    assert (record.did, record.agent_id, record.cause) == (DID, "quick", "NORMAL_CLEARING")
    assert [turn.source for turn in turns] == ["greeting", "llm", "llm"]
    assert turns[1].said == "what are your opening hours on saturday"
    assert turns[2].reply == SHORT
    (leg,) = await legs(place, record.call_id, 1)
    assert (leg.kind, leg.trunk, leg.cause_code, leg.ended_by) == ("caller", "carrier", 16, "them")
    (caller, agent), rate_hz = read_wav(place.settings.recordings_dir / record.recording)
    assert sound_spans(caller, rate_hz) and len(sound_spans(agent, rate_hz)) >= 2


async def test_each_number_has_its_agent_and_an_unknown_one_nobody(site: Place) -> None:
    place, fs = site
    call, number = await ring(fs, "0" + OTHER_DID[3:])  # as some carriers write it
    await quiet(call)
    await call.hang_up()
    record, _ = await rows(place, number)
    assert (record.agent_id, record.recording) == ("other", "")
    stranger, _ = await ring(fs, "+912299999999")
    assert stranger.status == 404


async def test_a_worker_that_dies_is_replaced_and_nothing_is_forgotten(site: Place) -> None:
    place, fs = site
    call, number = await ring(fs)
    await quiet(call)
    (live,) = await asyncio.to_thread(place.live)
    await asyncio.to_thread(place.kill, place.worker_of(live["worker"]))
    assert await sound_after(call, time.monotonic()) < 5
    await quiet(call)
    await call.press("1")
    await sound_after(call, time.monotonic())
    await quiet(call)
    await call.hang_up()
    record, turns = await rows(place, number)
    assert record.part == 2
    assert [turn.source for turn in turns] == ["greeting", "resume", "llm"]


async def test_the_switch_dies_and_comes_back_and_the_call_goes_on(site: Place) -> None:
    place, fs = site
    call, number = await ring(fs)
    await quiet(call)
    await asyncio.to_thread(place.kill, "switch")
    await asyncio.to_thread(place.start, "switch")
    (live,) = await until(place.live)
    assert (live["state"], live["part"], live["agent"]) == ("talking", 1, "quick")
    await call.press("1")
    await sound_after(call, time.monotonic())
    await call.hang_up()
    record, _ = await rows(place, number)
    assert record.part == 1 and record.cause == "NORMAL_CLEARING"


async def test_without_workers_the_apology_and_the_person_of_the_number(site: Place) -> None:
    place, fs = site
    await asyncio.to_thread(place.set_overflow, DID, PERSON)
    await asyncio.to_thread(place.kill, "worker", "worker.1")
    await asyncio.sleep(1.5)
    await ring(fs)
    person = await fs.person(PERSON, 15)
    await until(lambda: person.answered)
    await person.hang_up()


async def test_a_reload_by_hand_brings_a_new_failure_dial_under_the_rules(site: Place) -> None:
    """`fs_cli -x reloadxml` after `ivr switch configure --failure-dial`: FreeSWITCH would ring it."""
    place, fs = site
    fs.variables["ivr_failure_dial"] = "sofia/gateway/carrier/+18765551234"
    try:
        await fs.api("reloadxml")
        await until(lambda: "! --failure-dial rings nobody" in place.log("switch"))
    finally:
        fs.variables["ivr_failure_dial"] = ""
        await fs.api("reloadxml")


async def test_freeswitch_goes_and_comes_back(site: Place) -> None:
    place, fs = site
    call, number = await ring(fs)
    await quiet(call)
    await fs.stop(kill=True)
    await fs.start()
    record, _ = await rows(place, number)
    assert record.ended_at and record.cause
    await until(lambda: place.log("switch").count("FreeSWITCH is here") > 1)
    call, _ = await ring(fs)
    assert call.answered
    await call.hang_up()


async def test_a_person_hears_the_summary_and_then_the_caller(site: Place) -> None:
    place, fs = site
    call, number = await ring(fs)
    await quiet(call)
    fs.rung.clear()
    await call.press("0")
    person = await fs.person(PERSON)
    await until(lambda: person.answered)
    await sound_after(person, 0)  # the summary
    await until(lambda: place.live()[0]["state"] == "person", 20)
    call.play(tone(1.0))
    await sound_after(person, time.monotonic())
    await person.hang_up()
    await until(lambda: call.state is State.OVER)
    record, _ = await rows(place, number)
    assert record.transferred_to == PERSON and record.summary
    assert (record.cause, record.ended_by) == ("ATTENDED_TRANSFER", "agent")
    _caller, other = await legs(place, record.call_id, 2)
    assert (other.kind, other.trunk) == ("person", "carrier")


async def test_nobody_comes_and_the_caller_is_the_agents_again(site: Place) -> None:
    place, fs = site
    call, number = await ring(fs)
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


async def test_a_call_that_we_make(site: Place) -> None:
    place, fs = site
    fs.rung.clear()
    body = {"number": PERSON, "agent": "quick", "hours": "always"}
    made = await asyncio.to_thread(place.api, "POST", "/v1/calls", body)
    person = await fs.person(PERSON)
    await until(lambda: person.answered)
    person.play(tone(0.5))
    await sound_after(person, time.monotonic())
    await quiet(person)
    await person.hang_up()
    path = f"/v1/outbound/{made['id']}"
    done = await until(lambda: (c := place.api("GET", path))["state"] == "done" and c)
    assert done["trunk"] == "carrier" and done["result"]


async def test_a_number_that_is_never_called(site: Place) -> None:
    place, fs = site
    fs.rung.clear()
    await asyncio.to_thread(place.ivr, "do-not-call", "add", PERSON, "--reason", "asked")
    body = {"number": PERSON, "agent": "quick", "hours": "always"}
    made = await asyncio.to_thread(place.api, "POST", "/v1/calls", body)
    path = f"/v1/outbound/{made['id']}"
    done = await until(lambda: (c := place.api("GET", path))["state"] == "refused" and c)
    assert done["result"] == "DO_NOT_CALL" and not fs.rung


async def test_nobody_makes_it_ring_abroad(site: Place) -> None:
    """By the API, by a transfer, by a SIP address at the carrier; and what was rung is counted."""
    place, fs = site
    used = (await asyncio.to_thread(place.api, "GET", "/v1/toll"))["usage"]
    fs.rung.clear()
    for body in ({"number": "+18765551234"}, {"number": "+971501234567"}):
        with pytest.raises(HTTPError) as refused:
            await asyncio.to_thread(place.api, "POST", "/v1/calls", body | {"agent": "quick"})
        with refused.value as answer:
            assert answer.code == 400 and b"may not be rung" in answer.read()
    call, _ = await ring(fs)
    await quiet(call)
    (live,) = await asyncio.to_thread(place.live)
    path = f"/v1/calls/{live['call_id']}/transfer"
    for to in ("+881612345678", "sip:00881612345678@127.0.0.1", "tel:00881612345678"):
        with pytest.raises(HTTPError) as refused:
            await asyncio.to_thread(place.api, "POST", path, {"to": to})
        refused.value.close()
    assert not fs.rung
    await call.press("0")
    person = await fs.person(PERSON)
    await until(lambda: person.answered)
    now = (await asyncio.to_thread(place.api, "GET", "/v1/toll"))["usage"]["trunk carrier"]
    assert now["calls"] == used.get("trunk carrier", {"calls": 0})["calls"] + 1
    await person.hang_up()
    await call.hang_up()
    await asyncio.to_thread(place.stop, "switch")  # what is gathered still is written then
    (row,) = [one for one in refused_rows(place) if live["call_id"] in one.detail["calls"]]
    assert (row.actor, row.subject, row.tenant) == ("ivr switch", "quick", "main")
    assert row.detail["count"] >= 5 and row.detail["rules"].keys() >= {"allow", "carrier"}
    assert "+187655…" in row.detail["numbers"] and "+18765551234" not in str(row)


def refused_rows(site: SwitchSite) -> list[Row[Any]]:
    """What the audit log has of refusals by the toll rules."""
    asked = "SELECT actor, subject, tenant, detail FROM audit_log WHERE action = 'toll.refuse'"
    with site.engine.connect() as connection:
        return list(connection.execute(text(asked)))
