"""RFC 4475's torture messages, and our own, against both SIP entrances: nothing crashes, hangs, leaks
or disturbs a call in progress."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from appliance.telephony import siptransport
from appliance.telephony.calltable import CallTable, Flow
from appliance.telephony.proxy import Proxy, Send, ToChild
from appliance.telephony.sipmessage import MAX_MESSAGE_BYTES, StreamFramer, parse
from tests.attack_kit import (
    Footprint,
    Scene,
    attacker,
    heard,
    in_time,
    invite,
    request,
    scene,
    statuses,
)
from tests.freeswitch_kit import freeswitch, needs_freeswitch
from tests.sipkit import options
from tests.tinyserver import until
from tests.torture_kit import Torture, messages

ALL = messages()
MEDIA = "127.0.0.77"
EVERYBODY = (IPv4Network("0.0.0.0/0"),)
CHILD = 40001


def proxy() -> Proxy:
    table = CallTable(4)
    table.add_child(CHILD)
    return Proxy("10.0.0.1", 5060, 7000, table, EVERYBODY, time.monotonic)


def became(sends: list[Send]) -> str:
    """What one message led to: call, silence or a status."""
    assert len(sends) <= 1
    if not sends:
        return "silence"
    if isinstance(sends[0], ToChild):
        assert sends[0].port == CHILD
        parse(sends[0].data)  # what a child gets can always be read
        return "call"
    return sends[0].data.split(b" ", 2)[1].decode()


def named(message: Torture) -> str:
    return f"{message.section}-{message.name}"


def test_the_rfcs_messages_are_all_there() -> None:
    assert len(ALL) == 49
    assert len({m.section for m in ALL}) == 49
    valid = [m for m in ALL if m.section.startswith("3.1.1.")]
    assert len(valid) == 13


@pytest.mark.parametrize("message", ALL, ids=named)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_proxy_makes_of_it_what_it_should(message: Torture, transport: str) -> None:
    source = Flow(transport, "10.0.0.9", 5060)
    assert became(proxy().from_peer(message.wire(), source)) == message.expected


def test_two_requests_in_one_datagram_are_one(caplog: pytest.LogCaptureFixture) -> None:
    """§3.1.1.8: what follows Content-Length in a datagram is nobody's call."""
    (double,) = [m for m in ALL if m.name == "dblreq"]
    assert b"\r\nINVITE " in double.wire()
    bench = proxy()
    (answer,) = bench.from_peer(double.wire(), Flow("udp", "10.0.0.9", 5060))
    assert b"INVITE" not in answer.data.partition(b"Allow")[0]


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=12), st.integers(1, 3))
def test_a_stream_cut_anywhere_and_merged_gives_the_same_messages(
    cuts: list[int], times: int
) -> None:
    whole = [m.wire() for m in ALL if m.transport == "TCP" and m.expected != "silence"] * times
    stream, framer, found = b"".join(whole), StreamFramer(), []
    while stream:
        for cut in cuts:
            got, _ = framer.feed(stream[:cut])
            found += got
            stream = stream[cut:]
    assert found == whole and not framer.inside_message


# --- fuzz -----------------------------------------------------------------------------------------

_GOOD = [m.wire() for m in ALL if m.expected in ("call", "200")] + [
    invite("10.0.0.9", 5060, "10.0.0.1", "good"),
    request("BYE", "10.0.0.9", 5060, "10.0.0.1", "good"),
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKivr1\r\n"
    b"Via: SIP/2.0/UDP 127.0.0.1:40001;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
]
_ODD = [
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b'"', b"<", b">", b",", b";", b":", b"@", b"%", b"\\",
    b"\xff", b" " * 40, b"9" * 40, b"-1", b"\t", b"=", b"[::1]", b"[", b"SIP/2.0", b";rport", b";tag=",
    b"Via: SIP/2.0/UDP x", b"0", b"\xc2\xa0", "٣".encode(),
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good message with some bytes taken away, doubled, or odd ones put in."""
    data = draw(st.sampled_from(_GOOD))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        upto = min(len(data), at + draw(st.integers(0, 40)))
        match draw(st.integers(0, 3)):
            case 0:
                data = data[:at] + data[upto:]
            case 1:
                data = data[:upto] + data[at:]
            case 2:
                data = data[:at] + draw(st.sampled_from(_ODD)) + data[at:]
            case _:
                data = data[:at] + draw(st.binary(max_size=8)) + data[upto:]
    return data


@given(st.lists(mutated(), min_size=1, max_size=8), st.sampled_from(["udp", "tcp"]))
@settings(max_examples=120)
@example([b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP x;" + b'"' * 9000 + b"\r\n\r\n"], "udp")
def test_no_mutation_breaks_the_proxy(batch: list[bytes], transport: str) -> None:
    bench, source = proxy(), Flow(transport, "10.0.0.9", 5060)
    for data in batch:
        for sent in bench.from_peer(data, source):
            assert len(sent.data) < 2 * MAX_MESSAGE_BYTES
            if isinstance(sent, ToChild):
                read = parse(sent.data)
                bench.from_child(sent.data, CHILD)  # a child that sends it back is no harm either
                assert b"\0" not in read.headers.get("via").encode("utf-8", "replace")
            else:
                assert sent.flow.host == "10.0.0.9", "an answer to another than who asked"
    bench.sweep()


@given(mutated())
@settings(max_examples=100)
def test_no_mutation_costs_more_than_a_moment(data: bytes) -> None:
    begun = time.thread_time()  # not what else the machine does
    with contextlib.suppress(ProtocolError):
        parse(data)
    assert time.thread_time() - begun < 0.1


@given(mutated(), st.integers(1, 400))
def test_no_mutation_breaks_the_framer(data: bytes, size: int) -> None:
    framer = StreamFramer()
    with contextlib.suppress(ProtocolError):
        for at in range(0, len(data), size):
            framer.feed(data[at : at + size])


def test_a_body_byte_by_byte_costs_no_more_than_itself() -> None:
    """The headers were read again at every byte: 1.5 s of the proxy for 16 kB."""
    head = invite("10.0.0.9", 5060, "10.0.0.1", "slow").replace(
        b"Content-Length: 0\r\n\r\n", b"X: y\r\n" * 100 + b"Content-Length: 12000\r\n\r\n"
    )
    framer = StreamFramer()
    framer.feed(head)
    begun = time.thread_time()
    for _ in range(11_999):
        framer.feed(b"x")
    assert time.thread_time() - begun < 0.5
    assert framer.feed(b"x")[0]


@pytest.mark.parametrize(
    "double", ["Content-Length: 5", "Call-ID: other", "l: 7", "i: other", "CSeq: 9 INVITE"]
)
def test_two_of_what_may_stand_once_are_refused(double: str) -> None:
    """§3.3.8, §3.3.9: who reads the first and who reads the second read two messages."""
    good = invite("10.0.0.9", 5060, "10.0.0.1", "one")
    bad = good.replace(b"Max-Forwards", double.encode() + b"\r\nMax-Forwards")
    with pytest.raises(ProtocolError, match="two"):
        parse(bad)
    if "l" in double[:1].lower() or "Length" in double:
        with pytest.raises(ProtocolError, match="two"):
            StreamFramer().feed(bad)


# --- over real sockets, with a call in progress ------------------------------------------------------


async def _udp(place: Scene) -> list[int]:
    sock = attacker()
    for message in ALL:
        data = message.wire(MEDIA)
        # answers come to us and not to port 5060 of this address
        data = re.sub(rb"(?m)^(Via: SIP/2.0/UDP [^\r\n]*)", rb"\1;rport", data, count=1)
        sock.sendto(data, ("127.0.0.1", place.port))
        await asyncio.sleep(0.02)
    found: list[int] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            while not (found.count(405) >= 8 and {200, 483} <= set(found)):
                await asyncio.sleep(0.1)
                found += statuses(heard(sock))
    await asyncio.sleep(0.3)
    found += statuses(heard(sock))
    sock.close()
    return found


async def _tcp(
    place: Scene, data: bytes, pause_s: float = 0.02, size: int = 0, answers: int = 0
) -> bytes:
    """What comes back until the other side closes, or says no more once there were so many answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    answer = b""
    try:
        for at in range(0, len(data), size or len(data)):
            writer.write(data[at : at + (size or len(data))])
            await writer.drain()
            await asyncio.sleep(pause_s if size else 0)
        while True:
            async with asyncio.timeout(10 if answer.count(b"SIP/2.0 2") < answers else 0.3):
                got = await reader.read(65536)
            if not got:
                break
            answer += got
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return answer


@pytest.mark.server
@pytest.mark.sip
async def test_all_of_it_against_ivr_sip_with_a_call_in_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(siptransport, "MESSAGE_TIMEOUT_S", 1.0)
    await in_time(_all_of_it, tmp_path)


async def _all_of_it(folder: Path) -> None:
    async with scene(folder) as place:
        children, before = place.pids(), Footprint.of(place.office)
        place.worker.refuse = True  # what gets as far as a child ends there
        found = await _udp(place)
        assert found.count(405) >= 8 and 200 in found and 483 in found
        for message in ALL:
            await _tcp(place, message.wire(MEDIA)) if message.transport == "TCP" else None
        await _hostile_streams(place)
        await place.idle(timeout_s=20)
        place.untouched()
        assert place.pids() == children, "a child died"
        most = before.descriptors + 4
        await until(lambda: Footprint.of(place.office).descriptors <= most, 20)
        after = Footprint.of(place.office)
        assert after.resident_bytes < before.resident_bytes + 40 * 2**20
        assert (await options(place.port)).startswith(b"SIP/2.0 200")
        await place.caller.hang_up()
        await place.caller.wait_for("ended")


async def _hostile_streams(place: Scene) -> None:
    """Slow loris, endless headers, lying lengths, rubbish: as many at once as one host may have."""
    good = request("OPTIONS", "127.0.0.1", 5060, f"127.0.0.1:{place.port}", "tcp-1").replace(
        b"/UDP", b"/TCP"
    )
    assert statuses([await _tcp(place, good, answers=1)]) == [200]
    slow = await _tcp(place, good.replace(b"tcp-1", b"tcp-2"), 0.002, 40, answers=1)
    assert statuses([slow]) == [200]
    two = good.replace(b"tcp-1", b"a") + good.replace(b"tcp-1", b"b")
    double = await _tcp(place, two, answers=2)
    assert double.count(b"SIP/2.0 200") == 2
    for lie in (b"-1", b"99999", b"5", b"0x10", b"999999999999", b"0\r\nContent-Length: 9"):
        data = good.replace(b"Content-Length: 0", b"Content-Length: " + lie)
        assert statuses([await _tcp(place, data + b"OPTIONS sip:x")]) in ([], [200])
    endless = good.replace(b"Content-Length: 0\r\n\r\n", b"")
    assert await _tcp(place, endless + b"X: y\r\n" * 5000) == b""
    assert await _tcp(place, endless + b"X: " + b"y" * 100_000) == b""
    assert await _tcp(place, b"\x16\x03\x01" + bytes(range(256)) * 50) == b""
    lorises = []
    for _ in range(40):
        sock = socket.create_connection(("127.0.0.1", place.port))
        sock.sendall(b"INVITE sip:x")
        sock.setblocking(False)
        lorises.append(sock)
    await until(lambda: all(_is_closed(sock) for sock in lorises), 20)  # MESSAGE_TIMEOUT_S, above
    for sock in lorises:
        sock.close()


def _is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(10) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.server
@needs_freeswitch
async def test_all_of_it_against_freeswitch(tmp_path: Path) -> None:
    """From a trunk's address, where it is listened to, and at the telephones' port."""
    async with freeswitch(tmp_path) as fs:
        await fs.allow(MEDIA)
        pid, sock = fs.pid, attacker(MEDIA)
        for port in (fs.sip_port, fs.phones_port):
            for message in ALL:
                sock.sendto(message.wire(MEDIA), ("127.0.0.1", port))
                await asyncio.sleep(0.01)
            for message in ALL:
                with contextlib.suppress(ConnectionError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(message.wire(MEDIA))
                    await writer.drain()
                    writer.close()
        sock.close()
        await asyncio.sleep(1)
        assert fs.pid == pid and "UP" in await fs.api("status")
        for channel in await fs.channels():
            await fs.api(f"uuid_kill {channel['uuid']}")

        async def none_left() -> bool:
            return not await fs.channels()

        async with asyncio.timeout(10):
            while not await none_left():
                await asyncio.sleep(0.1)
        assert (await _options_of(fs.sip_port)).startswith(b"SIP/2.0 ")


async def _options_of(port: int) -> bytes:
    sock = attacker(MEDIA)
    sock.sendto(
        request("OPTIONS", *sock.getsockname(), f"127.0.0.1:{port}", "alive"), ("127.0.0.1", port)
    )
    try:
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.sock_recv(sock, 4096), 10)
    finally:
        sock.close()
