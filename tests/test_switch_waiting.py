"""Every worker is full: the next callers hold, first come, first served. Here the stand-in for
FreeSWITCH reads the shipped dialplan, and the real one where there is one."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.events import CallRecord, Turn
from appliance.ops.keeping.ports import free_ports
from appliance.store.phonebook import Trunk
from appliance.telephony.waiting import WaitingRoom
from tests.appliance_kit import Agents
from tests.freeswitch_kit import needs_freeswitch
from tests.freeswitch_standin import Standin, standin
from tests.sippeer import peer
from tests.standin_party import Party
from tests.switch_kit import SwitchSite, switched_site
from tests.switch_place import CARRIER, DID, agents, rows, script, sound_after, until

__all__ = ["agents", "script"]
WAIT_S = 7
ENVIRONMENT = {"IVR_WORKER__MAX_CALLS": "1", "IVR_SWITCH__WAIT_S": str(WAIT_S)}
_numbers = iter(range(10_000, 99_999))


def test_the_line_is_served_in_the_order_of_its_coming() -> None:
    line = WaitingRoom(2)
    assert line.join("a", 1.0) and line.join("b", 2.0) and not line.join("c", 3.0)
    assert line.join("a", 9.0), "who is in line stays in it"
    assert line.is_next("a") and not line.is_next("b")
    assert line.waited_s("a", 5.0) == 4.0 and line.waited_s("c", 5.0) == 0.0
    assert [line.ahead_of(call) for call in "abc"] == [0, 1, 2]
    line.leave("a")
    line.leave("a")
    assert [line.ahead_of(call) for call in "abc"] == [1, 0, 1]
    assert line.is_next("b") and line.join("c", 6.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(
    open_tmp: Path, script: Path, agents: Agents
) -> AsyncIterator[tuple[SwitchSite, Standin]]:
    folder = Path(tempfile.mkdtemp(prefix="waiting-", dir=open_tmp))
    folder.chmod(0o755)
    async with standin(folder) as fs:
        switch = {
            "esl_port": str(fs.event_port),
            "conf_dir": str(folder / "conf"),
            "playback_port": str(free_ports(1)[0]),
        }
        fs.add_gateway("carrier")
        site = SwitchSite(folder / "site", open_tmp / "embedded", script, switch, ENVIRONMENT)
        fs.password = site.settings.secret("event-socket")
        try:
            await asyncio.to_thread(site.open, agents)
            await asyncio.to_thread(site.add_trunk, _trunk("127.0.0.1:5999", "127.0.0.1"))
            await asyncio.to_thread(site.forget_number, "*")
            yield site, fs
        finally:
            await asyncio.to_thread(site.close)


def _trunk(proxy: str, address: str) -> Trunk:
    return Trunk("carrier", proxy, addresses=(f"{address}/32",), ping_s=0, caller_id=DID)


async def _ring(fs: Standin) -> tuple[Party, str]:
    number = f"+9199800{next(_numbers)}"
    caller = await fs.call(DID, number)
    await caller.final()
    return caller, number


def _states(site: SwitchSite) -> dict[str, str]:
    return {str(call["caller"]): str(call["state"]) for call in site.live()}


async def _is(site: SwitchSite, state: str, *numbers: str) -> None:
    """Wait until these callers are talking, or waiting."""
    await until(lambda: all(_states(site).get(number) == state for number in numbers))


async def _all_busy(site: SwitchSite, fs: Standin) -> list[Party]:
    """Callers who talk, one on each worker."""
    calls = [await _ring(fs) for _ in range(2)]
    await _is(site, "talking", *(number for _, number in calls))
    return [caller for caller, _ in calls]


@pytest.mark.server
@pytest.mark.asyncio(loop_scope="module")
async def test_who_finds_every_worker_full_holds_until_there_is_room(
    place: tuple[SwitchSite, Standin],
) -> None:
    site, fs = place
    first, second = await _all_busy(site, fs)
    third, c = await _ring(fs)
    await _is(site, "waiting", c)
    fourth, d = await _ring(fs)
    await _is(site, "waiting", d)
    await sound_after(third, time.monotonic())  # told to hold; it rings
    await first.hang_up()
    await _is(site, "talking", c)
    assert _states(site)[d] == "waiting", "the one who came later was served"
    record, _ = await _after_hangup(site, third, c)
    assert record.part == 1 and record.agent_id == "quick"
    await _is(site, "talking", d)
    await fourth.hang_up()
    await second.hang_up()
    await until(lambda: not site.live())


@pytest.mark.server
@pytest.mark.asyncio(loop_scope="module")
async def test_who_comes_later_does_not_take_the_place_of_one_who_holds(
    place: tuple[SwitchSite, Standin],
) -> None:
    site, fs = place
    first, second = await _all_busy(site, fs)
    holds, h = await _ring(fs)
    await _is(site, "waiting", h)
    another, n = await _ring(fs)  # looks for a place five times a second
    await first.hang_up()
    await _is(site, "talking", h)
    assert _states(site).get(n) != "talking"
    for call in (holds, another, second):
        await call.hang_up()
    await until(lambda: not site.live())


@pytest.mark.server
@pytest.mark.asyncio(loop_scope="module")
async def test_who_has_waited_too_long_gets_the_apology_and_hanging_up_leaves_the_line(
    place: tuple[SwitchSite, Standin],
) -> None:
    site, fs = place
    busy = await _all_busy(site, fs)
    impatient, n = await _ring(fs)
    await _is(site, "waiting", n)
    await impatient.hang_up()
    patient, number = await _ring(fs)
    began_s = time.monotonic()
    await _is(site, "waiting", number)
    await until(lambda: number not in _states(site), WAIT_S + 25)
    assert time.monotonic() - began_s > WAIT_S - 2
    assert patient.heard()
    for call in busy:
        await call.hang_up()
    await until(lambda: not site.live())
    again, number = await _ring(fs)
    await _is(site, "talking", number)
    await again.hang_up()


async def _after_hangup(
    site: SwitchSite, call: Party, number: str
) -> tuple[CallRecord, list[Turn]]:
    await sound_after(call, time.monotonic())  # the agent's greeting, or the end of the tone
    await asyncio.sleep(1)
    await call.hang_up()
    return await rows(site, number)


@needs_freeswitch
@pytest.mark.long
@pytest.mark.server
@pytest.mark.sip
@pytest.mark.asyncio(loop_scope="module")
async def test_the_same_with_freeswitch(open_tmp: Path, script: Path, agents: Agents) -> None:
    folder = Path(tempfile.mkdtemp(prefix="waiting-", dir=open_tmp))
    folder.chmod(0o755)
    async with (
        switched_site(folder, open_tmp / "embedded", script, agents, **ENVIRONMENT) as (site, fs),
        peer(CARRIER) as carrier,
    ):
        trunk = _trunk(f"{CARRIER}:{carrier.port}", CARRIER)
        await asyncio.to_thread(site.add_trunk, trunk)
        await asyncio.to_thread(site.forget_number, "*")
        to = f"sip:{DID}@127.0.0.1:{fs.sip_port}"
        first = await carrier.ring(to, "+919980010001")
        second = await carrier.ring(to, "+919980010002")
        await until(lambda: list(_states(site).values()) == ["talking", "talking"])
        third = await carrier.ring(to, "+919980010003")
        await _is(site, "waiting", "+919980010003")
        await sound_after(third, time.monotonic())
        await first.hang_up()
        await _is(site, "talking", "+919980010003")
        fourth = await carrier.ring(to, "+919980010004")
        await _is(site, "waiting", "+919980010004")
        await until(lambda: "+919980010004" not in _states(site), WAIT_S + 30)
        assert fourth.heard()
        await second.hang_up()
        await third.hang_up()
        await until(lambda: not site.live())
