"""Floods, scanners and guesses against both SIP entrances: calls in progress do not notice, trunks get
in, memory stays bounded, and the log says who it was in a form that fail2ban reads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telephony import flood
from appliance.telephony.callercontrol import CallerControl
from appliance.telephony.calltable import MAX_LINGERING, CallTable, Flow
from appliance.telephony.flood import MOST_CACHED, MOST_SOURCES, Flood, Kind
from appliance.telephony.proxy import Proxy, Send, ToChild
from appliance.telephony.refusals import LINES_BURST, LONGEST_WHAT, Refusals
from tests.attack_kit import (
    Footprint,
    Scene,
    attackers,
    heard,
    in_time,
    invite,
    late_frames,
    request,
    scene,
    statuses,
)
from tests.freeswitch_kit import EventSocket, FreeSwitch, freeswitch, needs_freeswitch
from tests.rawsip import Telephone
from tests.sippeer import peer

FAIL2BAN = re.compile(
    r"^! sip: refused .+ from (?P<host>\d+(?:\.\d+){3})(?: \(\d+ more like it\))?$"
)
"""The form that the filter reads (SECURITY.md)."""
TRUNK, STRANGER = "10.1.0.1", "10.9.0.1"
TRUNKS = (IPv4Network("10.1.0.0/24"),)
CHILD = 40001


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A proxy with lines, trunks and a clock to turn."""

    def __init__(self, trunks: tuple[IPv4Network, ...] = TRUNKS, lines: int = 4) -> None:
        self.clock, self.table = Clock(), CallTable(lines)
        self.table.add_child(CHILD)
        allow = (IPv4Network("10.0.0.0/8"),)
        self.proxy = Proxy("10.0.0.1", 5060, 7000, self.table, allow, self.clock, trunks)
        self._calls = 0

    def send(
        self, host: str, method: str = "INVITE", extra: str = "", user: str = "x"
    ) -> list[Send]:
        self._calls += 1
        data = request(method, host, 5060, "10.0.0.1", f"c{self._calls}", user=user, extra=extra)
        return self.proxy.from_peer(data, Flow("udp", host, 5060))


def address(n: int) -> str:
    return f"10.{10 + n // 65536}.{n // 256 % 256}.{n % 256}"


# --- budgets, pure --------------------------------------------------------------------------------


def test_one_source_has_its_budget_and_gets_it_again() -> None:
    budget = Flood(TRUNKS)
    let_in = sum(budget.lets_in(STRANGER, Kind.BEGINNING, 0.0) for _ in range(1000))
    assert let_in == flood.BEGINNINGS.burst
    assert not budget.lets_in(STRANGER, Kind.BEGINNING, 0.01)
    assert budget.lets_in(STRANGER, Kind.BEGINNING, 1.0)
    assert budget.lets_in("10.9.0.2", Kind.BEGINNING, 0.01)  # their neighbour


def test_invented_addresses_use_up_nothing_but_the_strangers_budget() -> None:
    budget = Flood(TRUNKS)
    let_in = sum(budget.lets_in(address(n), Kind.BEGINNING, 0.0) for n in range(20_000))
    assert let_in == flood.STRANGERS_BEGINNINGS.burst
    assert all(budget.lets_in(TRUNK, Kind.BEGINNING, 0.0) for _ in range(200))
    assert not budget.lets_in(STRANGER, Kind.BEGINNING, 0.0)
    budget.live_hosts({STRANGER})
    assert budget.lets_in(STRANGER, Kind.BEGINNING, 0.0)  # in mid-call: their BYE is heard


def test_the_tables_of_budgets_are_bounded() -> None:
    budget = cast(Any, Flood(TRUNKS))
    for n in range(2 * MOST_SOURCES):
        budget.lets_in(address(n), Kind.MESSAGE, n / 1000)
    assert len(budget._sources) <= MOST_SOURCES and len(budget._is_trunk) <= MOST_CACHED


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 2)), min_size=1, max_size=200))
def test_nobody_ever_gets_more_than_their_budget(steps: list[tuple[int, float]]) -> None:
    budget, now = Flood(TRUNKS), 0.0
    let_in = [0] * 4
    for host, wait_s in steps:
        now += wait_s / 100
        for _ in range(5):
            let_in[host] += budget.lets_in(f"10.9.0.{host}", Kind.BEGINNING, now)
    own, together = flood.BEGINNINGS, flood.STRANGERS_BEGINNINGS
    assert all(count <= own.burst + own.a_second * now + 1 for count in let_in)
    assert sum(let_in) <= together.burst + together.a_second * now + 1


# --- the log --------------------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "refused" in r.getMessage()]


def test_every_refusal_is_one_line_that_fail2ban_reads(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for _ in range(500):
        bench.send(STRANGER, "OPTIONS")
    bench.send("10.9.0.2", extra="User-Agent: friendly-scanner\r\n")
    bench.send("10.9.0.3", "REGISTER")
    bench.proxy.from_peer(b"INVITE sip:x SIP/2.0\r\n\r\n", Flow("udp", "10.9.0.4", 1))
    bench.proxy.from_peer(b"x", Flow("udp", "192.0.2.1", 1))
    found = [FAIL2BAN.match(line) for line in lines(caplog)]
    assert all(found), lines(caplog)
    hosts = {match["host"] for match in found if match}
    assert hosts == {STRANGER, "10.9.0.2", "10.9.0.3", "10.9.0.4", "192.0.2.1"}
    assert len(found) <= 6


@given(st.text(max_size=200))
def test_what_a_caller_writes_is_no_address_in_the_log(text: str) -> None:
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("appliance.telephony.refusals")
    logger.addHandler(handler)
    try:
        Refusals(Clock()).note(f"the method {text} from 127.0.0.1", "10.9.9.9")
        Refusals(Clock()).note(text, "10.9.9.9")
    finally:
        logger.removeHandler(handler)
    for line in said:
        match = FAIL2BAN.match(line)
        assert match and match["host"] == "10.9.9.9" and "\n" not in line
        assert len(re.findall(r"\bfrom\b", line)) == 1 and len(line) < LONGEST_WHAT + 60


def test_a_flood_from_everywhere_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for n in range(5000):
        bench.proxy.from_peer(b"rubbish", Flow("udp", address(n), 1))
    assert len(lines(caplog)) <= LINES_BURST


# --- scanners and guesses, pure ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "agent", ["friendly-scanner", "SIPVicious", "sipcli/v1.8", "VaxSIPUserAgent/3.1", "pplsip"]
)
@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "INVITE"])
def test_a_scanner_hears_nothing(agent: str, method: str) -> None:
    assert Bench().send(STRANGER, method, extra=f"User-Agent: {agent}\r\n") == []
    assert Bench().send(STRANGER, method, extra="User-Agent: Grandstream GXP1625\r\n")


@pytest.mark.parametrize(
    "method", ["OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH", "REFER"]
)
def test_every_extension_answers_alike(method: str) -> None:
    """There is nothing to enumerate: `ivr sip` takes no registrations and knows no extensions."""
    answers = set()
    for user in ("100", "1001", "admin", "nobody", "9" * 60):
        (answer,) = Bench().send(STRANGER, method, user=user)
        answers.add(answer.data.split(b"\r\n")[0])
    assert len(answers) == 1


def test_no_caller_takes_anothers_call_over_or_sends_us_anywhere() -> None:
    """Replaces (RFC 3891), Join (3911), Target-Dialog (4538), Refer-To and its short form."""
    extra = (
        "Replaces: c0;to-tag=1;from-tag=2\r\nJoin: c0;to-tag=1;from-tag=2\r\n"
        "r: <sip:+18765551234@x>\r\n"
        "Referred-By: <sip:a@b>\r\nTarget-Dialog: c0\r\nb: <sip:a@b>\r\n"
    )
    (sent,) = Bench().send(STRANGER, extra=extra)
    assert isinstance(sent, ToChild)
    for name in (b"Replaces", b"Join", b"Refer", b"Target-Dialog", b"\r\nr:", b"\r\nb:"):
        assert name not in sent.data


def test_half_of_the_lines_are_the_trunks() -> None:
    bench = Bench(lines=4)
    answered = [isinstance(bench.send(address(n))[0], ToChild) for n in range(4)]
    assert answered == [True, True, False, False]
    assert all(isinstance(bench.send(TRUNK)[0], ToChild) for _ in range(2))
    alone = Bench(trunks=(), lines=4)
    assert all(isinstance(alone.send(STRANGER)[0], ToChild) for _ in range(4))


def test_a_flood_of_refused_invites_fills_no_table() -> None:
    bench = Bench()
    for n in range(5_000):
        bench.clock.now += 0.01
        bench.send(address(n))
    assert len(cast(Any, bench.table)._entries) <= MAX_LINGERING


# --- real sockets ---------------------------------------------------------------------------------


async def _pour(place: Scene, socks: list[socket.socket], method: str, seconds: float) -> int:
    """As many as one core makes, in bursts of 50 with the loop's own turn between."""
    sent, until = 0, time.monotonic() + seconds
    to = f"127.0.0.1:{place.port}"
    while time.monotonic() < until:
        for _ in range(50):
            sock = socks[sent % len(socks)]
            host, port = sock.getsockname()
            data = (
                b"\xff" * 60
                if method == "rubbish"
                else request(method, host, port, to, f"{method}{sent}")
            )
            with contextlib.suppress(BlockingIOError):
                sock.sendto(data, ("127.0.0.1", place.port))
            sent += 1
        await asyncio.sleep(0.02)
    return sent


@pytest.mark.server
@pytest.mark.sip
async def test_floods_with_a_call_in_progress(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One source and 200, INVITE, OPTIONS, REGISTER and rubbish; meanwhile the trunk gets through."""

    async def attack(folder: Path) -> None:
        caplog.clear()
        await _floods(folder, caplog)

    await in_time(attack, tmp_path)


async def _floods(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(folder, trunks=("127.0.0.1/32",), processes=2) as place:
        before, children = Footprint.of(place.office), place.pids()
        with attackers(201) as socks:
            sent = await _pour_all_kinds(place, socks)
            place.untouched(late=2)
            assert sent > 3000 and place.pids() == children
            answers = sum(len(heard(sock)) for sock in socks)
            assert answers < sent  # a flood is not answered message by message
        after = Footprint.of(place.office)
        assert after.resident_bytes < before.resident_bytes + 60 * 2**20
        refused = lines(caplog)
        assert refused and all(FAIL2BAN.match(line) for line in refused)
        assert len(refused) < 300, "the flood is in the log"
        await place.caller.hang_up()
        await place.caller.wait_for("ended")


async def _pour_all_kinds(place: Scene, socks: list[socket.socket]) -> int:
    """From the first of them and from all others, and a call of the trunk's in the middle of it."""
    sent, (one, *many) = 0, socks
    for sources in ([one], many):
        for method in ("INVITE", "OPTIONS", "REGISTER", "rubbish"):
            sent += await _pour(place, sources, method, 0.7)
    pouring = asyncio.create_task(_pour(place, many, "INVITE", 5.0))
    async with await CallerControl.ring(f"sip:1001@127.0.0.1:{place.port}") as honest:
        await honest.wait_for("answered", 10)  # the lines are the attackers', but for half
    return sent + await pouring


@pytest.mark.server
async def test_one_host_cannot_take_every_tcp_connection(tmp_path: Path) -> None:
    await in_time(_hoard, tmp_path)


async def _hoard(folder: Path) -> None:
    async with scene(folder) as place:
        hoard = []
        for _ in range(120):
            with contextlib.suppress(ConnectionError):
                _, one = await asyncio.open_connection(
                    "127.0.0.1", place.port, local_addr=("127.0.0.9", 0)
                )
                hoard.append(one)
        await asyncio.sleep(0.3)
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(request("OPTIONS", "127.0.0.1", 1, "x", "tcp").replace(b"/UDP", b"/TCP"))
        assert (await asyncio.wait_for(reader.read(100), 10)).startswith(b"SIP/2.0 200")
        writer.close()
        for one in hoard:
            one.close()
        place.untouched()


# --- FreeSWITCH -----------------------------------------------------------------------------------

FREESWITCH_FILTER = re.compile(
    r"SIP auth (?:failure|challenge) \((?:REGISTER|INVITE)\) on sofia profile '[^']+' for \[[^\]]*\]"
    r" from ip (?P<host>\S+)"
)


@pytest.mark.server
@needs_freeswitch
async def test_guesses_at_a_telephones_password(tmp_path: Path) -> None:
    """Nobody gets in, an extension that is there answers as one that is not, and each wrong guess is a
    line with the guesser's address."""
    async with freeswitch(tmp_path) as fs:
        await fs.add_phone("1001", "correct horse battery staple 7431")
        async with Telephone.at("127.0.0.44", ("127.0.0.1", fs.phones_port)) as phone:
            answers: dict[str, set[int]] = {"1001": set(), "1999": set()}
            for n in range(20):
                for extension in answers:
                    guess = await phone.register(extension, f"guess{n}", fs.domain)
                    answers[extension].add(guess)
            assert answers["1001"] == answers["1999"] and 200 not in answers["1001"]
            for user in ("1001", "1999", "+18765551234"):
                line = await phone.call(user, login=("1001", "wrong"), timeout_s=3)
                assert line.status in (401, 403, 407)
            assert not await fs.channels()
        found = [m["host"] for m in map(FREESWITCH_FILTER.search, fs.log().splitlines()) if m]
        assert found.count("127.0.0.44") >= 20


@pytest.mark.server
@needs_freeswitch
async def test_a_flood_of_freeswitch_with_a_call_in_progress(tmp_path: Path) -> None:
    """From strangers at the trunks' port and at the telephones'; the carrier's caller hears on."""
    async with freeswitch(tmp_path) as fs, peer("127.0.0.2") as carrier:
        await fs.add_trunk("carrier", "127.0.0.2", carrier.port)
        call = await carrier.ring(f"sip:1001@127.0.0.1:{fs.sip_port}", "+919800000001")
        async with asyncio.timeout(8):  # nobody controls: the apology, after 4 s
            while not call.answered:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        begun = len(call.frames)
        with attackers(50) as socks:
            await _flood(fs, socks, 2.0)
            times = [at for at, _ in call.frames[begun:]]
            late = late_frames(times, 0.2)
            assert len(times) > 60 and late <= 2, (len(times), late)
            assert {s for sock in socks for s in statuses(heard(sock))} <= {
                100, 200, 401, 403, 407, 405, 503, 501, 489,
            }  # fmt: skip
        assert len(await fs.channels()) == 1  # the carrier's own, and none of theirs
        await call.hang_up()


async def _flood(fs: FreeSwitch, socks: list[socket.socket], seconds: float) -> None:
    """Of both ports of FreeSWITCH, with what scanners send."""
    until, sent = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        for port in (fs.sip_port, fs.phones_port):
            for method in ("INVITE", "REGISTER", "OPTIONS"):
                sock = socks[sent % len(socks)]
                host, own = sock.getsockname()
                data = request(method, host, own, f"127.0.0.1:{port}", f"{method}{sent}")
                with contextlib.suppress(BlockingIOError):
                    sock.sendto(data, ("127.0.0.1", port))
                sent += 1
        await asyncio.sleep(0.005)


def test_the_invite_of_the_kit_is_one_that_rings() -> None:
    (sent,) = Bench().proxy.from_peer(
        invite(STRANGER, 5060, "10.0.0.1", "k"), Flow("udp", STRANGER, 5060)
    )
    assert isinstance(sent, ToChild)


@pytest.mark.server
@needs_freeswitch
async def test_wrong_passwords_at_the_event_socket(tmp_path: Path) -> None:
    """60 of them: each is turned away, and `ivr switch`'s own connection goes on."""
    async with freeswitch(tmp_path) as fs:
        own = await fs.connect()
        for n in range(60):
            with pytest.raises(ConnectionRefusedError, match="invalid"):
                await EventSocket.open(fs.event_port, f"ClueCon{n}")
        assert "UP" in await own.api("status")
        assert "UP" in await fs.api("status")
        await own.close()
