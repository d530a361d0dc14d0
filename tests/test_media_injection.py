"""Audio that somebody else sends into a call, and audio that they would have sent to them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path

import numpy as np
import pytest

from appliance.audio import level_db, ulaw_decode, ulaw_encode
from appliance.media import token
from appliance.telephony.rtpguard import MOST_HOSTS, admit
from tests.attack_kit import attacker, heard
from tests.freeswitch_kit import freeswitch, needs_freeswitch
from tests.rawsip import Line, Telephone
from tests.sipkit import media_worker, sip_office, sip_settings
from tests.test_media_server import CALL_ID, SECRET, offer, serving, until

pytestmark = pytest.mark.server
LOUD = ulaw_encode((20000 * np.sin(np.arange(160) * 0.5)).astype("<i2"))
LOUD_DB = -30.0
HALF_OPEN = 300


def rtp(sequence: int, source: int, payload: bytes = LOUD) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, 160 * sequence, source) + payload


def media_port(line: Line) -> int:
    found = re.search(r"m=audio (\d+)", line.responses[-1].body.decode())
    assert found
    return int(found[1])


def loudest_db(phone: Telephone) -> float:
    """Of what the caller heard."""
    return max(
        (level_db(np.frombuffer(ulaw_decode(p), "<i2")) for kind, p in phone.heard if kind == 0),
        default=-100.0,
    )


BURST = 25
"""Packets at once: pjmedia follows ten in a row of one source."""


@asynccontextmanager
async def silent_call(folder: Path, **sip: object) -> AsyncIterator[tuple[Telephone, Line]]:
    """A caller who says nothing, and a worker that sends back whatever it hears."""
    async with media_worker(folder) as worker:
        worker.echoes = True
        settings = sip_settings(folder, (worker.url,), **sip)
        async with (
            sip_office(settings),
            Telephone.at("127.0.0.1", ("127.0.0.1", settings.sip.port)) as phone,
        ):
            line = await phone.call("1001")
            assert line.status == 200
            await asyncio.sleep(0.6)
            yield phone, line
            await phone.hang_up(line)


async def shout(sock: socket.socket, port: int, seconds: float, source: int = 0xBAD) -> list[bytes]:
    """Loud RTP, BURST packets every 20 ms; what came back to the shouter."""
    for n in range(int(seconds / 0.02)):
        for k in range(BURST):
            sock.sendto(rtp(n * BURST + k, source), ("127.0.0.1", port))
        await asyncio.sleep(0.02)
    return heard(sock)


async def attacked(phone: Telephone, line: Line, host: str = "") -> list[bytes]:
    """What a stranger was sent, after a second of shouting."""
    phone.heard.clear()
    sock = attacker(host)
    got = await shout(sock, media_port(line), 1.0)
    got += await shout(sock, media_port(line), 0.5, 7)  # the caller's own SSRC
    sock.close()
    await asyncio.sleep(0.3)
    return got


async def test_nobody_speaks_or_listens_in_a_call_of_ivr_sip(tmp_path: Path) -> None:
    async with silent_call(tmp_path) as (phone, line):
        got = await attacked(phone, line)
        assert loudest_db(phone) < LOUD_DB, "the worker heard the stranger"
        assert got == [], "the caller's audio goes to the stranger"
        assert len(phone.heard) > 50, "the caller hears nothing any more"


async def test_without_the_guard_they_would(tmp_path: Path) -> None:
    """The attack itself, so that the test above cannot pass for another reason."""
    async with silent_call(tmp_path, strict_rtp=False) as (phone, line):
        got = await attacked(phone, line)
        assert len(got) > 20


async def test_a_telephone_behind_nat_is_heard(tmp_path: Path) -> None:
    """Its SDP names an address that nobody can reach; its audio comes from where its SIP does."""
    async with media_worker(tmp_path) as worker:
        settings = sip_settings(tmp_path, (worker.url,))
        async with (
            sip_office(settings),
            Telephone.at("127.0.0.1", ("127.0.0.1", settings.sip.port)) as phone,
        ):
            own = phone.sdp
            phone.sdp = lambda kinds: own(kinds).replace(  # type: ignore[method-assign]
                "c=IN IP4 127.0.0.1", "c=IN IP4 127.0.0.201"
            )
            line = await phone.call("1001")
            stream = await worker.stream(0)
            await asyncio.sleep(1.0)
            phone.heard.clear()
            await asyncio.sleep(0.5)
            assert stream.frames > 40
            assert len(phone.heard) > 15, "what is sent does not follow them"
            await phone.hang_up(line)


async def test_audio_that_moves_with_a_reinvite_is_heard(tmp_path: Path) -> None:
    """A PBX that hands its caller to another telephone: SDP names another address from then on."""
    elsewhere = "127.0.0.88"
    async with silent_call(tmp_path) as (phone, line):
        mouth = attacker(elsewhere)
        port = mouth.getsockname()[1]
        body = re.sub(r"m=audio \d+", f"m=audio {port}", phone.sdp((0,)))
        body = body.replace("c=IN IP4 127.0.0.1", f"c=IN IP4 {elsewhere}").replace(" 1 1 ", " 1 2 ")
        for task in phone._tasks:
            task.cancel()
        line.cseq += 1
        answer = await phone.ask("INVITE", line.target, line, body=body)
        assert answer and answer.status == 200
        phone._acknowledge(line, answer, line.target)
        heard(mouth)
        for n in range(50):
            mouth.sendto(rtp(n, 99), ("127.0.0.1", media_port(line)))
            await asyncio.sleep(0.02)
        loud = [
            p for p in heard(mouth) if level_db(np.frombuffer(ulaw_decode(p[12:]), "<i2")) > -20
        ]
        mouth.close()
        assert len(loud) > 10, "they are not heard, or hear nothing"


@pytest.mark.parametrize("count", [0, 1, 2, MOST_HOSTS, MOST_HOSTS + 5])
def test_the_filter_lets_through_whom_it_names(count: int) -> None:
    hosts = [IPv4Address(f"127.1.0.{n + 1}") for n in range(count)]
    with socket.socket(type=socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.setblocking(False)
        assert admit(ear.getsockname(), hosts)
        for host in (*map(str, hosts[:MOST_HOSTS]), "127.2.0.1"):
            with socket.socket(type=socket.SOCK_DGRAM) as mouth:
                mouth.bind((host, 0))
                mouth.sendto(host.encode(), ear.getsockname())
        assert sorted(heard(ear)) == sorted(str(h).encode() for h in hosts[:MOST_HOSTS])


def test_a_socket_that_is_not_there_is_not_guarded() -> None:
    assert not admit(("127.0.0.1", 1), [IPv4Address("127.0.0.1")])


@needs_freeswitch
async def test_nobody_speaks_in_a_call_of_freeswitch(tmp_path: Path) -> None:
    """It goes on sending to the caller, and a stranger's packets do not end the caller's call."""
    async with (
        freeswitch(tmp_path) as fs,
        Telephone.at("127.0.0.2", ("127.0.0.1", fs.sip_port)) as phone,
    ):
        await fs.add_trunk("carrier", "127.0.0.2", phone.port)
        line = await phone.call("1001", timeout_s=12)  # nobody controls: the apology answers
        assert line.status == 200
        await asyncio.sleep(0.6)
        got = await attacked(phone, line)
        assert got == [], "the caller's audio goes to the stranger"
        assert len(phone.heard) > 50
        await phone.hang_up(line)


# --- the worker's port ------------------------------------------------------------------------------


async def test_half_open_connections_leave_a_call_and_the_door_alone() -> None:
    """Clients that connect and say nothing, or half a request, are let go of after 2 s; meanwhile the
    call in progress is carried and the next one comes in."""
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        await until(lambda: site.door.calls)
        hoard = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(HALF_OPEN)]
        for n, (_, writer) in enumerate(hoard):
            writer.write((b"", b"GET /call HT", b"GET /call HTTP/1.1\r\nHost: x\r\n")[n % 3])
        caller = site.door.calls[0][2]
        for n in range(25):
            edge.audio(bytes(320))
            await until(lambda n=n: len(caller.frames) == n + 1)
        assert await site.refusal(bearer="wrong") == 401  # the door still answers
        assert not any(reader.at_eof() for reader, _ in hoard), "it was they who were waited for"
        async with asyncio.timeout(20):
            for reader, writer in hoard:
                assert await reader.read() == b""
                writer.close()


@pytest.mark.parametrize("path", ["/call", "/watch"])
async def test_no_token_of_one_door_opens_another(path: str) -> None:
    now = time.time()
    async with serving() as site:
        for bearer in (
            "",
            token.make("other", CALL_ID, now),
            token.make(SECRET, CALL_ID, now - 60),
        ):
            assert await site.refusal(path, bearer) == 401
        if path == "/watch":
            assert await site.refusal(path, token.make(SECRET, CALL_ID, now)) == 404
        assert not site.door.watchers and not site.door.calls


async def test_a_token_is_for_its_own_call_and_a_live_one_is_not_joined() -> None:
    async with serving() as site:
        edge = await site.connect(bearer=token.make(SECRET, "another-call", time.time()))
        edge.text(offer())  # of CALL_ID
        assert await edge.refused() == 1008
        assert not site.door.calls
        site.door.why = "the call is here already"  # what the desk says of one that is live
        assert await site.refusal() == 503


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x82\x7f" + (1 << 62).to_bytes(8, "big"),  # a frame of 4 EB, unmasked
        b"\x82\xfe\xff\xff\0\0\0\0" + bytes(65_535),
        b"\x81\xfe\xff\xff\0\0\0\0" + b"{" * 65_535,
        b"\xff" * 4000,
        b"\x02\x80\0\0\0\0" * 2000,  # a message of endless empty fragments
    ],
)
async def test_broken_frames_end_their_own_connection(garbage: bytes) -> None:
    async with serving() as site:
        good = await site.connect()
        good.text(offer())
        await until(lambda: site.door.calls)
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        bearer = token.make(SECRET, "other-call", time.time())
        writer.write(
            b"GET /call HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Authorization: Bearer " + bearer.encode() + b"\r\n\r\n"
        )
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(garbage)
            await writer.drain()
            async with asyncio.timeout(4):  # at once, or when no offer came
                while await reader.read(65536):
                    pass
        writer.close()
        good.audio(bytes(320))
        await until(lambda: site.door.calls[0][2].frames)
        assert len(site.door.calls) == 1
