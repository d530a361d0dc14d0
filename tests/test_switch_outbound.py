"""Calls that we make, through the real FreeSWITCH: who answers, who does not, and what may go wrong.

Two carriers, at 127.0.0.2 and 127.0.0.3, are also everybody whom we ring.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
import urllib.error
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pytest
import pytest_asyncio

from appliance.events import Agent
from appliance.store import outbound
from appliance.store.phonebook import Trunk
from appliance.store.trunks import remove_trunk
from bench.answering import LONG, line, speech, tones
from bench.answering import quiet as pause
from tests.appliance_kit import Agents
from tests.freeswitch_kit import free_port
from tests.sippeer import Answer, Peer, PeerCall, Refuse, Ring, peer
from tests.switch_kit import SwitchSite
from tests.switch_place import (
    DID,
    SHORT,
    THROUGH_FREESWITCH,
    Place,
    everybody,
    legs,
    quiet,
    rows,
    sound_after,
    until,
)
from tests.switch_place import (
    hours as hours,
)
from tests.switch_place import (
    place as place,
)
from tests.switch_place import (
    script as script,
)
from tests.switch_place import (
    site as site,
)

pytestmark = THROUGH_FREESWITCH

SECOND = "127.0.0.3"
SECOND_DID = "+912240009999"
CALLER, LEAVER = "quick", "leaver"
_numbers: Iterator[int] = iter(range(10_000, 99_999))
OVER = ("done", "failed", "refused")


@pytest.fixture(scope="module")
def agents() -> Agents:
    """One agent hangs up on machines, the other leaves a message."""

    def of(sample: Agent) -> dict[str, Agent]:
        known = everybody(sample)
        leaver = dataclasses.replace(
            known[DID], id=LEAVER, machine_message="Please call us back.", record=False
        )
        return known | {SECOND_DID: leaver}

    return of


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {"IVR_SWITCH__CALLING_HOURS": "always"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def second(place: Place) -> AsyncIterator[Peer]:
    """A second carrier, tried after the first; it wants national numbers and shows its own."""
    site, _fs, _carrier = place
    async with peer(SECOND) as other:
        trunk = Trunk(
            "second", f"{SECOND}:{other.port}", addresses=(f"{SECOND}/32",), ping_s=0,
            priority=200, number_format="national", caller_id=SECOND_DID,
        )  # fmt: skip
        await asyncio.to_thread(site.add_trunk, trunk)
        yield other


@pytest_asyncio.fixture(loop_scope="module")
async def number(site: Place, second: Peer) -> AsyncIterator[str]:
    """Somebody who has not been called yet. Who they are is the test's to say."""
    number = f"+9198111{next(_numbers)}"
    yield number
    _place, _fs, carrier = site
    for asked in (carrier, second):
        asked.policies.pop(number, None)
        for call in asked.calls:
            with contextlib.suppress(TimeoutError):
                await call.hang_up()


def said(text: str) -> bytes:
    """A telephone answered with these words: L16 at 8 kHz."""
    return line(np.concatenate((pause(300), speech(text, "slt"))), -20, -70)


def machine() -> bytes:
    """A long greeting, a breath, a beep."""
    words = speech(LONG[1], "awb")
    return line(np.concatenate((pause(300), words, pause(600), tones(400, 1000))), -20, -70)


async def call(site: SwitchSite, number: str, agent: str = CALLER, **more: Any) -> str:
    """Put a call on the list; its id."""
    body = {"number": number, "agent": agent, **more}
    answer = await asyncio.to_thread(site.api, "POST", "/v1/calls", body)
    assert (answer["state"], answer["number"]) == ("waiting", number)
    return str(answer["id"])


async def row(site: SwitchSite, id_: str, *states: str, timeout_s: float = 20) -> dict[str, Any]:
    """The call's row, once it is in one of ``states``, or over."""

    def found() -> dict[str, Any] | None:
        one = site.api("GET", f"/v1/outbound/{id_}")
        return one if one["state"] in (states or OVER) else None

    return dict(await until(found, timeout_s))


async def answered(peer: Peer, words: bytes = b"", timeout_s: float = 10) -> PeerCall:
    """The next call that comes in, answered, and what was said there."""
    there = await peer.incoming(timeout_s)
    await until(lambda: there.answered)
    there.play(words)
    return there


async def refusal(site: SwitchSite, path: str, body: object = None) -> tuple[int, str]:
    """Status and words with which the API refuses."""
    with pytest.raises(urllib.error.HTTPError) as raised:
        await asyncio.to_thread(site.api, "POST", path, body)
    return raised.value.code, str(orjson.loads(raised.value.read())["error"])


def early(there: PeerCall, before_s: float) -> list[float]:
    """When something was heard before that moment, in seconds before it."""
    loud = [(when, max(map(abs, memoryview(frame).cast("h")))) for when, frame in there.frames]
    return [before_s - when for when, level in loud if level > 500 and when < before_s]


def invites(peer: Peer, number: str) -> int:
    """How often somebody was rung."""
    return sum(call.to_user.endswith(number[-10:]) for call in peer.calls)


# --- who answers ----------------------------------------------------------------------------------


async def test_a_person_is_greeted_and_talks(site: Place, number: str, hours: bytes) -> None:
    place, _fs, carrier = site
    carrier.policies[number] = Answer(0.5)
    words = ("call", number, "--agent", CALLER, "--json")
    command = asyncio.create_task(asyncio.to_thread(place.ivr, *words))
    there = await carrier.incoming(20)
    assert (there.to_user, there.from_user) == (number, DID)
    (live,) = await asyncio.to_thread(place.live)
    assert (live["state"], live["did"], live["direction"]) == ("ringing", number, "out")
    await until(lambda: there.answered)
    hello_s = there.play(said("Hello?"))
    await sound_after(there, hello_s)  # not before: we wait for who is there
    await quiet(there)
    (talks,) = (await asyncio.to_thread(place.api, "GET", "/v1/outbound?state=talking"))["outbound"]
    assert (talks["number"], talks["trunk"]) == (number, "carrier")
    asked_s = there.play(hours)
    await asyncio.sleep(max(0, asked_s - time.monotonic()))
    await sound_after(there, asked_s)
    await quiet(there)
    await there.hang_up()
    told = orjson.loads((await command).stdout)
    assert (told["state"], told["result"]) == ("done", "human:short greeting")
    assert (told["attempts"], told["trunk"]) == (1, "carrier") and told["ended_at"]
    record, turns = await rows(place, number)
    assert (record.call_id, record.direction) == (told["call_id"], "out")
    assert (record.answered_by, record.agent_id) == ("human:short greeting", CALLER)
    assert [turn.reply for turn in turns] == ["Hello.", SHORT]
    (leg,) = await legs(place, record.call_id, 1)
    assert (leg.kind, leg.trunk, leg.callee) == ("callee", "carrier", number)
    assert leg.answered_at and (leg.ended_by, leg.cause) == ("them", "NORMAL_CLEARING")


async def test_a_machine_is_left_a_message_after_its_beep(site: Place, number: str) -> None:
    place, _fs, carrier = site
    carrier.policies[number] = Answer()
    id_ = await call(place, number, LEAVER)
    sound = machine()
    there = await answered(carrier)
    beeped_s = there.play(sound)
    await asyncio.sleep(max(0, beeped_s - time.monotonic()))
    assert await sound_after(there, 0) and not early(there, beeped_s)
    assert await there.ended(15) == "them"
    done = await row(place, id_)
    assert (done["state"], done["result"], done["attempts"]) == ("done", "machine:beep", 1)
    record, turns = await rows(place, number)
    assert [turn.reply for turn in turns] == ["Please call us back."]
    assert record.answered_by == "machine:beep" and record.ended_by == "agent"


async def test_a_machine_without_a_message_is_tried_again(site: Place, number: str) -> None:
    place, _fs, carrier = site
    carrier.policies[number] = Answer()
    id_ = await call(place, number, attempts=2, retry_after_s=1)
    for _ in range(2):
        there = await answered(carrier, machine(), 15)
        assert await there.ended(15) == "them"
    failed = await row(place, id_)
    assert (failed["state"], failed["result"]) == ("failed", "machine:long greeting")
    assert failed["attempts"] == 2 == invites(carrier, number)


async def test_who_says_nothing_is_greeted_all_the_same(site: Place, number: str) -> None:
    place, _fs, carrier = site
    carrier.policies[number] = Answer()
    id_ = await call(place, number)
    there = await answered(carrier, bytes(16000))
    await sound_after(there, 0)
    await quiet(there)
    await there.hang_up()
    done = await row(place, id_)
    assert (done["state"], done["result"]) == ("done", "uncertain:silence")


# --- who does not ---------------------------------------------------------------------------------


async def test_who_cannot_come_is_rung_again_and_at_last_not(site: Place, second: Peer) -> None:
    place, _fs, carrier = site
    expected = {486: "USER_BUSY", 480: "NO_USER_RESPONSE", 603: "CALL_REJECTED", 404: ""}
    listed = {}
    for status in expected:
        number = f"+9198112{status:05d}"
        carrier.policies[number] = Refuse(status)
        listed[status] = await call(place, number, attempts=2, retry_after_s=1), number
    for status, cause in expected.items():
        id_, number = listed[status]
        failed = await row(place, id_)
        tries = 2 if cause else 1
        result = cause or "UNALLOCATED_NUMBER"
        assert (failed["state"], failed["result"]) == ("failed", result)
        assert failed["attempts"] == tries == invites(carrier, number)
        assert invites(second, number) == 0  # who was reached is not rung by another way


async def test_another_trunk_takes_what_the_first_does_not(
    site: Place, second: Peer, number: str
) -> None:
    place, _fs, carrier = site
    dead = Trunk("dead", f"127.0.0.4:{free_port()}", ping_s=0, priority=50, caller_id=DID)
    carrier.policies[number] = Refuse(503)
    second.policies["0" + number[3:]] = Answer()
    await asyncio.to_thread(place.add_trunk, dead)
    try:
        id_ = await call(place, number)
        there = await answered(second, said("Hello?"), 25)
        assert there.to_user == "0" + number[3:] and there.from_user == "0" + SECOND_DID[3:]
        await sound_after(there, 0)
        await there.hang_up()
        done = await row(place, id_)
        assert (done["state"], done["trunk"], done["attempts"]) == ("done", "second", 1)
        assert invites(carrier, number) == 1
    finally:
        with place.engine.begin() as connection:
            remove_trunk(connection, "dead")
        await asyncio.to_thread(place.api, "POST", "/v1/reload")


async def test_a_full_trunk_is_not_used_and_all_full_means_later(
    site: Place, second: Peer, number: str
) -> None:
    place, _fs, carrier = site
    everybody = [f"+9198113{tail:05d}" for tail in range(6)]
    carrier.policy = second.policy = Ring()
    await asyncio.to_thread(limit_trunks, place, 1)
    try:
        due = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        ids = [await call(place, one, at=due) for one in everybody]
        await carrier.incoming(10)
        await second.incoming(10)

        def postponed() -> list[dict[str, Any]]:
            found = place.api("GET", "/v1/outbound?state=waiting")["outbound"]
            return found if len(found) == 4 and all(one["result"] for one in found) else []

        waits = await until(postponed, 15)
        assert {one["attempts"] for one in waits} == {0}
        assert {one["result"] for one in waits} == {"every trunk carries as many calls as it may"}
        assert sum(invites(carrier, one) for one in everybody) == 1
        assert sum(invites(second, one) for one in everybody) == 1
        for id_ in ids:
            await asyncio.to_thread(place.api, "POST", f"/v1/outbound/{id_}/cancel")
            assert (await row(place, id_))["result"] == "CANCELLED"
    finally:
        await asyncio.to_thread(limit_trunks, place, 0)


def limit_trunks(place: SwitchSite, calls: int) -> None:
    with place.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE trunks SET max_calls = {calls:d}")
    place.api("POST", "/v1/reload")


# --- who may not be rung --------------------------------------------------------------------------


async def test_do_not_call_is_asked_when_the_call_is_due(site: Place, number: str) -> None:
    place, _fs, carrier = site
    due = datetime.now(UTC) + timedelta(seconds=2)
    id_ = await call(place, number, at=due.isoformat())
    with place.engine.begin() as connection:
        assert outbound.add_do_not_call(connection, [number], "asked us", "IN") == 1
    refused = await row(place, id_)
    assert (refused["state"], refused["result"]) == ("refused", "DO_NOT_CALL")
    assert invites(carrier, number) == 0 and datetime.now(UTC) > due


async def test_outside_its_hours_a_call_waits_for_the_next_opening(
    site: Place, number: str
) -> None:
    place, _fs, carrier = site
    tomorrow = f"{datetime.now(UTC) + timedelta(days=2):%a}".lower()
    id_ = await call(place, number, hours=f"{tomorrow} 10:00-11:00")
    waits = await until(lambda: (one := place.api("GET", f"/v1/outbound/{id_}"))["result"] and one)
    assert (waits["state"], waits["attempts"]) == ("waiting", 0)
    assert waits["result"] == "outside its hours"
    opening = datetime.fromisoformat(waits["next_at"])
    assert timedelta(hours=12) < opening - datetime.now(UTC) < timedelta(days=3)
    assert (opening.hour, opening.minute) == (4, 30)  # 10:00 in Kolkata, UTC
    table = await asyncio.to_thread(place.ivr, "outbound", "--state", "waiting")
    assert number in table.stdout and "outside its hours" in table.stdout
    gone = await asyncio.to_thread(place.ivr, "outbound", "cancel", id_[:8])
    assert number in gone.stdout, gone.stderr
    assert (await row(place, id_))["state"] == "refused" and not invites(carrier, number)
    status, words = await refusal(place, f"/v1/outbound/{id_}/cancel")
    assert status == 409 and "refused" in words


async def test_what_can_never_be_a_call_is_refused_at_once(site: Place) -> None:
    place, _fs, _carrier = site
    good = {"number": "+919811199999", "agent": CALLER}
    for wrong, words in (
        ({"hours": "mon 9-5"}, "'9-5' is"),
        ({"hours": "mon 09:00-10:00; except 2020-01-01 to 2021-02-30"}, "2021-02-30"),
        ({"agent": "nobody"}, "no published agent 'nobody'"),
        ({"agent": "nobody\0"}, "no published agent"),
        ({"number": "1001"}, "no telephone number"),
        ({"at": "2026-01-01T10:00:00"}, "timezone"),
        ({"attempts": 0}, "attempts"),
        ({"colour": "red"}, "colour"),
    ):
        status, said = await refusal(place, "/v1/calls", good | wrong)
        assert status == 400 and words in said, said
    assert (await refusal(place, "/v1/calls", [1]))[0] == 400
    assert (await refusal(place, "/v1/outbound/0000000000/cancel"))[0] == 404
    with pytest.raises(urllib.error.HTTPError, match="400"):
        await asyncio.to_thread(place.api, "GET", "/v1/outbound?state=lost")
    told = await asyncio.to_thread(place.ivr, "call", "12", "--agent", CALLER)
    assert told.returncode and "no telephone number" in told.stderr
    assert (await asyncio.to_thread(place.api, "GET", "/v1/outbound?state=waiting"))[
        "outbound"
    ] == []


async def test_a_ringing_telephone_is_hung_up_by_hand(site: Place, number: str) -> None:
    place, _fs, carrier = site
    carrier.policies[number] = Ring()
    told = await asyncio.to_thread(
        place.ivr, "call", number, "--agent", CALLER, "--no-wait", "--json"
    )
    id_ = orjson.loads(told.stdout)["id"]
    there = await carrier.incoming(10)
    (rings,) = await until(place.live)
    await asyncio.to_thread(place.ivr, "live", "hangup", rings["call_id"][:8])
    assert await there.ended() == "them" and there.status == 487
    gone = await row(place, id_)
    assert (gone["state"], gone["result"]) == ("refused", "CANCELLED")


# --- trouble --------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [True, False])
async def test_the_switch_dies_while_it_rings(site: Place, number: str, answers: bool) -> None:
    place, _fs, carrier = site
    carrier.policies[number] = Ring()
    id_ = await call(place, number, attempts=1)
    there = await carrier.incoming(10)
    await asyncio.to_thread(place.kill, "switch")
    await asyncio.to_thread(place.start, "switch")
    (rings,) = await until(place.live)
    assert (rings["state"], rings["did"]) == ("ringing", number)
    assert (await row(place, id_, "dialling"))["attempts"] == 1
    if answers:
        await there.answer()
        there.play(said("Hello?"))
        await sound_after(there, time.monotonic())
        await quiet(there)
        await there.hang_up()
    else:
        await there.refuse(486)
    over = await row(place, id_)
    result = ("done", "human:short greeting") if answers else ("failed", "USER_BUSY")
    assert (over["state"], over["result"]) == result
    assert invites(carrier, number) == 1


async def test_the_switch_dies_in_mid_talk(site: Place, number: str) -> None:
    place, _fs, carrier = site
    carrier.policies[number] = Answer()
    id_ = await call(place, number)
    there = await answered(carrier, said("Hello?"))
    await sound_after(there, 0)
    await quiet(there)
    await asyncio.to_thread(place.kill, "switch")
    await asyncio.to_thread(place.start, "switch")
    assert (await row(place, id_, "talking"))["call_id"]
    await asyncio.sleep(2)  # orphans have been looked for
    assert (await row(place, id_, "talking"))["call_id"]
    await there.hang_up()
    done = await row(place, id_)
    assert (done["state"], done["result"]) == ("done", "human:short greeting")
    assert invites(carrier, number) == 1


async def test_freeswitch_dies_while_it_rings(site: Place, number: str) -> None:
    place, fs, carrier = site
    carrier.policies[number] = Ring()
    id_ = await call(place, number, attempts=1)
    await carrier.incoming(10)
    await fs.restart(kill=True)
    failed = await row(place, id_)
    assert (failed["state"], failed["result"]) == ("failed", "NETWORK_OUT_OF_ORDER")
    assert invites(carrier, number) == 1


async def test_postgres_is_away_while_it_rings_and_talks(site: Place, number: str) -> None:
    place, _fs, carrier = site
    carrier.policies[number], busy = Ring(), f"+9198115{number[-5:]}"
    carrier.policies[busy] = Refuse(486, 2.0)
    id_ = await call(place, number)
    there = await carrier.incoming(10)
    other = await call(place, busy, attempts=2, retry_after_s=1)
    await carrier.incoming(10)
    await asyncio.to_thread(place.postgres.stop)
    try:
        await there.answer()
        there.play(said("Hello?"))
        await sound_after(there, time.monotonic())
        await quiet(there)
        await there.hang_up()
        await asyncio.sleep(3)
        assert invites(carrier, number) == invites(carrier, busy) == 1
    finally:
        await asyncio.to_thread(place.postgres.start)
    done = await row(place, id_, timeout_s=30)
    assert (done["state"], done["result"]) == ("done", "human:short greeting")
    failed = await row(place, other, timeout_s=30)
    assert (failed["state"], failed["result"], failed["attempts"]) == ("failed", "USER_BUSY", 2)
    assert (invites(carrier, number), invites(carrier, busy)) == (1, 2)


async def test_nobody_is_rung_while_no_worker_could_talk(site: Place, number: str) -> None:
    place, _fs, carrier = site
    await asyncio.to_thread(place.kill, "worker", "worker.1")
    await asyncio.sleep(1.5)
    id_ = await call(place, number)
    waits = await until(lambda: (one := place.api("GET", f"/v1/outbound/{id_}"))["result"] and one)
    assert (waits["state"], waits["result"]) == ("waiting", "no worker has room")
    await asyncio.to_thread(place.api, "POST", f"/v1/outbound/{id_}/cancel")
    assert invites(carrier, number) == 0
