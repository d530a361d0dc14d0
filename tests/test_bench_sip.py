"""The bench's SIP callers against sipp and against an agent of known behaviour."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.audio import ulaw_decode, ulaw_encode
from appliance.engines.emulated_script import Script
from appliance.ops.keeping.ports import free_port
from appliance.rehearsal.calls import lines_for
from appliance.rehearsal.conversation import Conversation, Line, State, sound_edges
from appliance.rehearsal.rtp import EVENT, RtpStream, Weather
from appliance.rehearsal.sip_caller import SipCall, SipPlan, SipSocket, SipState, rehearse_sip
from appliance.rehearsal.sip_message import (
    SipMessage,
    address_of,
    media_address,
    offer,
    parse,
    request,
    response,
    routes,
    uri_of,
)
from bench.report import figures
from bench.sipp import call

SOUND = np.full(160, 4000, "<i2").tobytes()
SILENCE = bytes(320)
REPLY_MS = 300


# --------------------------------------------------------------------------- messages, pure


def test_a_request_reads_back_and_its_response_carries_the_dialog() -> None:
    headers = [("Via", "SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1"), ("From", "<sip:a@b>;tag=1")]
    headers += [("To", "<sip:c@d>;tag=9"), ("Call-ID", "x"), ("CSeq", "7 BYE")]
    message = parse(request("BYE", "sip:c@d:5062", headers, "body"))
    assert (message.method, message.status, message.body) == ("BYE", 0, "body")
    assert (message.cseq, message.to_tag) == ((7, "BYE"), "9")
    answer = parse(response(message, 200, "OK", [("Contact", "<sip:c@d>")]))
    assert (answer.status, answer.cseq) == (200, (7, "BYE"))
    for name in ("via", "from", "to", "call-id"):
        assert answer.headers[name] == message.headers[name]


def test_routes_uris_and_sdp() -> None:
    values = ["<sip:10.0.0.1:5060;lr>, <sip:10.0.0.2;lr>", "<sip:10.0.0.3:5080;lr>"]
    assert [address_of(uri_of(r)) for r in routes(values)] == [
        ("10.0.0.1", 5060),
        ("10.0.0.2", 5060),
        ("10.0.0.3", 5080),
    ]
    assert media_address(offer("127.0.0.1", 40000)) == ("127.0.0.1", 40000)
    with pytest.raises(ValueError, match="no G"):
        media_address("v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 8\r\n")
    with pytest.raises(ValueError, match="start line"):
        parse(b"\r\n\r\n")


# ----------------------------------------------------------------------------------- RTP


async def test_keys_are_rfc_4733_events_and_loss_loses() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(1)
        stream = RtpStream(Weather(), seed=1)
        stream.remote = ear.getsockname()
        stream.send(SOUND)
        stream.press("5", duration_ms=60)
        for _ in range(6):
            stream.send(SOUND)
        packets = [ear.recv(2048) for _ in range(7)]
        kinds = [packet[1] & 0x7F for packet in packets]
        assert kinds == [0, EVENT, EVENT, EVENT, EVENT, EVENT, 0]
        events = [struct.unpack("!BBH", packet[12:]) for packet in packets[1:6]]
        assert [e[0] for e in events] == [5] * 5
        assert [e[1] >> 7 for e in events] == [0, 0, 1, 1, 1]
        assert [e[2] for e in events] == [160, 320, 480, 480, 480]
        assert len({packet[4:8] for packet in packets[1:6]}) == 1  # one timestamp
        sequence = [struct.unpack("!H", packet[2:4])[0] for packet in packets]
        assert [(s - sequence[0]) & 0xFFFF for s in sequence] == list(range(7))
        stream.close()

        lossy = RtpStream(Weather(loss=0.5), seed=2)
        lossy.remote = ear.getsockname()
        for _ in range(200):
            lossy.send(SOUND)
        lossy.close()
        ear.setblocking(False)
        got = 0
        while True:
            try:
                ear.recv(2048)
                got += 1
            except BlockingIOError:
                break
        assert 60 < got < 140


async def test_lost_packets_are_counted_and_a_stream_that_begins_anew_is_no_loss() -> None:
    stream = RtpStream(Weather(), seed=1)
    arrived = [
        (65534, 1),
        (65535, 1),
        (2, 1),
        (1, 1),
        (3, 1),
        (30_000, 1),
        (30_002, 1),
        (9, 2),
        (11, 2),
    ]
    lost = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        for sequence, source in arrived:
            header = struct.pack("!BBHII", 0x80, 0, sequence, 0, source)
            mouth.sendto(header + bytes(160), ("127.0.0.1", stream.port))
            while stream.receive() is None:
                await asyncio.sleep(0.001)
            lost.append(stream.lost)
    stream.close()
    # two missing, one of which comes late; a restart of the sequence; one missing; another source
    assert lost == [0, 0, 2, 1, 1, 1, 2, 2, 3]


# ------------------------------------------------------------------- an agent that we know


class ScriptedOffice(asyncio.DatagramProtocol):
    """A SIP server of one process: answers every INVITE and replies 300 ms after speech ends."""

    def __init__(self) -> None:
        self.byes = 0
        self.acks = 0
        self.cancels = 0
        self.silent = False
        """Say nothing to an INVITE but 100 Trying."""
        self.refuse = 0
        """Status to refuse INVITEs with; 0: answer them."""
        self._tasks: list[asyncio.Task[None]] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = parse(data)
        if message.method == "INVITE":
            self._invite(message, addr)
        elif message.method == "ACK":
            self.acks += 1
        else:
            self.byes += message.method == "BYE"
            self.cancels += message.method == "CANCEL"
            self._transport.sendto(response(message, 200, "OK", []), addr)

    def _invite(self, message: SipMessage, addr: tuple[str, int]) -> None:
        self._transport.sendto(response(message, 100, "Trying", []), addr)
        if self.silent:
            return
        if self.refuse:
            self._transport.sendto(response(message, self.refuse, "No", []), addr)
            return
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.bind(("127.0.0.1", 0))
        ear.setblocking(False)
        self._tasks.append(asyncio.create_task(self._talk(ear, media_address(message.body))))
        port = self._transport.get_extra_info("sockname")[1]
        answer = response(message, 200, "OK", [("Contact", f"<sip:agent@127.0.0.1:{port}>")])
        head, _, _ = answer.partition(b"Content-Length")
        sdp = offer("127.0.0.1", ear.getsockname()[1]).encode()
        head += f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n".encode()
        self._transport.sendto(head + sdp, addr)

    async def _talk(self, ear: socket.socket, caller: tuple[str, int]) -> None:
        begin_s, spoke_s, spoken = time.monotonic(), 0.0, False
        with ear:
            for n in range(100_000):
                await asyncio.sleep(max(0.0, begin_s + n * 0.02 - time.monotonic()))
                while True:
                    try:
                        packet = ear.recv(2048)
                    except BlockingIOError:
                        break
                    if packet[1] & 0x7F == 0 and sound_edges(ulaw_decode(packet[12:])):
                        spoke_s, spoken = time.monotonic(), True
                since_ms = (time.monotonic() - spoke_s) * 1000
                reply = spoken and REPLY_MS - 10 <= since_ms < REPLY_MS + 1500
                pcm = SOUND if n < 20 or reply else SILENCE
                header = struct.pack("!BBHII", 0x80, 0, n & 0xFFFF, n * 160, 7)
                ear.sendto(header + ulaw_encode(pcm), caller)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._transport.close()


@pytest.fixture
async def office() -> AsyncIterator[tuple[str, ScriptedOffice]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        ScriptedOffice, local_addr=("127.0.0.1", 0)
    )
    yield f"sip:1001@127.0.0.1:{transport.get_extra_info('sockname')[1]}", protocol
    protocol.close()


def questions(script: Script) -> list[Line]:
    return lines_for(script, 8000, barge_ins=False)


@pytest.mark.sip
async def test_sip_callers_measure_a_known_agent(
    office: tuple[str, ScriptedOffice], script: Script
) -> None:
    target, server = office
    weather = Weather(jitter_ms=10)
    plan = SipPlan(target, calls=2, seconds=8, weather=weather)
    result = figures(await rehearse_sip(plan, questions(script)))
    assert result.first_error == ""
    assert (server.acks, server.byes) == (2, 2)
    assert result.turns >= 2
    assert result.unanswered == 0
    assert result.gap_p50_ms == pytest.approx(REPLY_MS, abs=40)
    assert result.frames >= 2 * 7 * 50


@pytest.mark.sip
async def test_a_refusal_and_a_dead_server_are_errors_of_the_call(
    office: tuple[str, ScriptedOffice], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, server = office
    server.refuse = 486
    refused = await rehearse_sip(SipPlan(target, 1, 0.1), questions(script))
    assert refused.calls[0].error == "INVITE was answered 486"
    assert server.acks == 1
    server.refuse, server.silent = 0, True
    monkeypatch.setattr("appliance.rehearsal.sip_caller.ANSWER_S", 0.3)
    dead = await rehearse_sip(SipPlan(target, 1, 0.1), questions(script))
    assert dead.calls[0].error == "not answered in time"
    assert server.cancels == 1


@pytest.fixture
def sipp_server(tmp_path: Path) -> Iterator[str]:
    """sipp as the called side; it sends every RTP packet back."""
    if not shutil.which("sipp"):
        pytest.skip("sipp is not installed")
    port = free_port()
    command = ["sipp", "-sn", "uas", "-i", "127.0.0.1", "-p", str(port), "-rtp_echo"]
    command += ["-mp", str(free_port() // 2 * 2)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=tmp_path
    ) as process:
        time.sleep(0.3)
        yield f"sip:1001@127.0.0.1:{port}"
        process.terminate()
        process.wait(5)


@pytest.mark.sip
async def test_our_caller_and_sipp_understand_each_other(sipp_server: str) -> None:
    loop = asyncio.get_running_loop()
    _, sip = await loop.create_datagram_endpoint(SipSocket, local_addr=("127.0.0.1", 0))
    plan = SipPlan(sipp_server, calls=1, seconds=1)
    caller = SipCall(plan, 1, [Line("a", (SOUND,) * 10)], sip)
    await caller.connect()
    assert caller.state is SipState.UP
    conversation: Conversation = caller.conversation
    deadline_s = time.monotonic() + 8
    while not conversation.exchanges and time.monotonic() < deadline_s:
        caller.tick()
        await asyncio.sleep(0.02)
        if conversation.state is State.AWAITING:
            break
    assert conversation.state is State.AWAITING  # it has spoken, and the echo came back
    report = await caller.hang_up()
    sip.close()
    assert report.error == ""
    assert len(report.frames.late_ms) > 20


@pytest.mark.sip
def test_sipp_counts_calls(sipp_server: str, script: Script, tmp_path: Path) -> None:
    count = call(sipp_server, calls=3, hold_s=0.5, script=script, folder=tmp_path)
    assert (count.ok, count.failed) == (3, 0)


@pytest.mark.sip
async def test_sipp_counts_refusals(
    office: tuple[str, ScriptedOffice], script: Script, tmp_path: Path
) -> None:
    target, server = office
    server.refuse = 503
    count = await asyncio.to_thread(call, target, 2, 0.1, script, tmp_path)
    assert (count.ok, count.failed) == (0, 2)
