"""The media server with real websocket clients, real datagrams and a hostile edge."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
import picows
import pytest

from appliance.events import (
    AnsweredBy,
    Dtmf,
    Hold,
    Offer,
    Summary,
    Transfer,
    TransferFailed,
    Whisper,
)
from appliance.media import protocol, server, token
from appliance.media.server import MediaServer, Stream, Watcher

pytestmark = pytest.mark.server

SECRET = "s3cret"
CALL_ID = "0f5b1b1e-7c1c-4a57-9a5b-0d6a0e8b9d11"


@dataclass
class FakeCaller:
    """A call that only remembers."""

    frames: list[bytes] = field(default_factory=list)
    keys: list[Dtmf] = field(default_factory=list)
    hangups: list[str] = field(default_factory=list)
    told: list[Hold | TransferFailed | Whisper] = field(default_factory=list)

    def on_audio(self, frame: bytes) -> None:
        self.frames.append(frame)

    def on_dtmf(self, key: Dtmf) -> None:
        self.keys.append(key)

    def on_hangup(self, cause: str) -> None:
        self.hangups.append(cause)

    def on_transfer_failed(self, cause: str) -> None:
        self.told.append(TransferFailed(cause))

    def on_hold(self, on: bool) -> None:
        self.told.append(Hold(on))

    def on_whisper(self, text: str) -> None:
        self.told.append(Whisper(text))


@dataclass
class FakeDoor:
    """A desk that takes every call until it is told why not."""

    why: str = ""
    status: str = "ok"
    calls: list[tuple[Offer, Stream, FakeCaller]] = field(default_factory=list)
    watchers: set[Watcher] = field(default_factory=set)

    def refusal(self, call_id: str, part: int = 0) -> str:
        return self.why

    def admit(self, offer: Offer, stream: Stream) -> FakeCaller:
        self.calls.append((offer, stream, FakeCaller()))
        return self.calls[-1][2]

    def health(self) -> dict[str, object]:
        return {"status": self.status, "calls": len(self.calls), "capacity": 3}

    def watch(self, watcher: Watcher) -> None:
        self.watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        self.watchers.discard(watcher)


class Edge(picows.WSListener):
    """What FreeSWITCH or ``ivr sip`` is to the worker."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[dict[str, object]] = []
        self.close_code: int | None = None
        self.closed = asyncio.Event()

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.TEXT:
            self.texts.append(orjson.loads(frame.get_payload_as_bytes()))
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            self.close_code = int(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.closed.set()

    def text(self, payload: bytes) -> None:
        self.transport.send(picows.WSMsgType.TEXT, payload)

    def audio(self, payload: bytes) -> None:
        self.transport.send(picows.WSMsgType.BINARY, payload)

    async def refused(self) -> int | None:
        await asyncio.wait_for(self.closed.wait(), 10)
        return self.close_code


@dataclass
class Site:
    """A server on a free port and its door."""

    door: FakeDoor
    media: MediaServer
    port: int
    edges: list[Edge] = field(default_factory=list)

    async def connect(self, path: str = "/call", bearer: str | None = None) -> Edge:
        """An upgraded stream; ``bearer`` None: a right token."""
        credential = token.make(SECRET, CALL_ID, time.time()) if bearer is None else bearer
        _, edge = await picows.ws_connect(
            Edge,
            f"ws://127.0.0.1:{self.port}{path}",
            extra_headers={"Authorization": f"Bearer {credential}"},
        )
        self.edges.append(edge)
        return edge

    async def refusal(self, path: str = "/call", bearer: str | None = None) -> int:
        """The status that an upgrade is refused with."""
        with pytest.raises(picows.WSInvalidStatusError) as e:
            await self.connect(path, bearer)
        return int(e.value.response.status)


@asynccontextmanager
async def serving(door: FakeDoor | None = None) -> AsyncIterator[Site]:
    door = door or FakeDoor()
    media = MediaServer(door, SECRET)
    site = Site(door, media, await media.start("127.0.0.1", 0))
    try:
        yield site
    finally:
        for edge in site.edges:
            edge.transport.disconnect()
        for _, stream, _ in door.calls:
            await stream.closed(2)
        media.close()
        await asyncio.sleep(0.02)  # for the connections to be let go of


@asynccontextmanager
async def ear() -> AsyncIterator[tuple[socket.socket, int]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        yield udp, udp.getsockname()[1]


def offer(port: int = 40000, rate_hz: int = 8000) -> bytes:
    return protocol.offer(Offer(CALL_ID, "1001", "+91", rate_hz, ("127.0.0.1", port)))


async def until(condition: object, timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "bearer",
    [
        "",
        "nonsense",
        token.make("other secret", CALL_ID, time.time()),
        token.make(SECRET, CALL_ID, time.time() - 3600),
        token.make(SECRET, CALL_ID, time.time()) + ".x.y",
        "v1." + "." * 300,
    ],
)
async def test_a_wrong_or_expired_token_is_401_with_one_line(
    bearer: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as site:
        assert await site.refusal(bearer=bearer) == 401
        assert len(told(caplog)) == 1 and SECRET not in caplog.text
        assert (await site.connect()).transport  # others come in


async def test_no_token_at_all_is_401() -> None:
    async with serving() as site:
        with pytest.raises(picows.WSInvalidStatusError) as e:
            await picows.ws_connect(Edge, f"ws://127.0.0.1:{site.port}/call")
        assert int(e.value.response.status) == 401


@pytest.mark.parametrize("path", ["/", "/calls", "/call/x", "/watch"])
async def test_a_wrong_path_is_404(path: str) -> None:
    async with serving() as site:
        assert await site.refusal(path) == 404  # /watch needs a token made for it


async def test_a_full_worker_is_503_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(FakeDoor(why="the worker carries its limit of 3 calls")) as site:
        assert await site.refusal() == 503
        assert "limit of 3 calls" in told(caplog)[0]


async def test_a_place_taken_between_upgrade_and_offer_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as site:
        edge = await site.connect()
        site.door.why = "the worker is full"
        edge.text(offer())
        assert await edge.refused() == 1013
        assert not site.door.calls and "full" in told(caplog)[0]


@pytest.mark.parametrize(
    "first",
    [b"hello", b"{}", b'{"type":"dtmf","digit":"5"}', offer().replace(b"0f5b", b"ffff"), b"\xff"],
)
async def test_anything_else_first_is_1008(first: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as site:
        edge = await site.connect()
        edge.text(first)
        assert await edge.refused() == 1008
        assert len(told(caplog)) == 1 and not site.door.calls


async def test_audio_first_is_1008() -> None:
    async with serving() as site:
        edge = await site.connect()
        edge.audio(bytes(320))
        assert await edge.refused() == 1008


async def test_no_offer_in_time_is_1008(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "OFFER_TIMEOUT_S", 0.2)
    async with serving() as site:
        begin = time.monotonic()
        edge = await site.connect()
        assert await edge.refused() == 1008
        assert time.monotonic() - begin > 0.15
        assert told(caplog) == ["! refused: no offer came"]


async def test_an_offer_in_time_stops_that_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "OFFER_TIMEOUT_S", 0.2)
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        await asyncio.sleep(0.4)
        assert not edge.closed.is_set() and len(site.door.calls) == 1


async def test_a_call_both_ways() -> None:
    async with serving() as site, ear() as (udp, port):
        edge = await site.connect("/call?x=1")
        edge.text(offer(port))
        await until(lambda: site.door.calls)
        taken, stream, caller = site.door.calls[0]
        assert taken == Offer(CALL_ID, "1001", "+91", 8000, ("127.0.0.1", port))
        stream.answer()
        for n in range(3):
            edge.audio(bytes([n]) * 320)
        edge.text(protocol.dtmf(Dtmf("*", 90)))
        await until(lambda: len(caller.frames) == 3 and caller.keys)
        assert caller.frames == [bytes([n]) * 320 for n in range(3)]
        assert caller.keys == [Dtmf("*", 90)]
        stream.play(b"\x07" * 320)
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(loop.sock_recv(udp, 2000), 10) == b"\x07" * 320
        stream.hang_up("NORMAL_CLEARING")
        await until(lambda: len(edge.texts) == 2)
        assert edge.texts == [
            {"type": "answer"},
            {"type": "hangup", "cause": "NORMAL_CLEARING"},
        ]
        edge.transport.send_close(picows.WSCloseCode.OK)
        await stream.closed(2)
        await until(lambda: caller.hangups)
        assert len(caller.hangups) == 1


async def test_what_is_malformed_is_dropped_with_one_line_and_the_call_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        for size in (0, 319, 3202, 5000):
            edge.audio(bytes(size))
        edge.text(b"no json")
        edge.text(b'{"type":"transfer"}')
        edge.text(offer())  # a second offer is no control message
        edge.audio(b"\x01" * 320)
        await until(lambda: site.door.calls and site.door.calls[0][2].frames)
        assert site.door.calls[0][2].frames == [b"\x01" * 320] and len(site.door.calls) == 1
        assert len(told(caplog)) == 1 and "0 bytes" in told(caplog)[0]
        assert not edge.closed.is_set()


async def test_the_callers_hangup_is_told_once_with_its_cause() -> None:
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        edge.text(protocol.hangup("USER_BUSY"))
        edge.audio(bytes(320))
        edge.transport.send_close(picows.WSCloseCode.OK)
        await until(lambda: site.door.calls and site.door.calls[0][2].hangups)
        await asyncio.wait_for(edge.closed.wait(), 10)
        await asyncio.sleep(0.05)
        caller = site.door.calls[0][2]
        assert caller.hangups == ["USER_BUSY"] and not caller.frames


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_stream_closed_in_order_is_a_hangup_by_the_caller(code: int) -> None:
    """mod_audio_stream sends no hangup of its own: it closes with the channel."""
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        await until(lambda: site.door.calls)
        edge.transport.send_close(picows.WSCloseCode(code))
        await until(lambda: site.door.calls[0][2].hangups)
        assert site.door.calls[0][2].hangups == ["NORMAL_CLEARING"]


async def test_a_stream_closed_for_an_error_is_no_clean_end() -> None:
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        await until(lambda: site.door.calls)
        edge.transport.send_close(picows.WSCloseCode.INTERNAL_ERROR)
        await until(lambda: site.door.calls[0][2].hangups)
        assert site.door.calls[0][2].hangups == ["NETWORK_OUT_OF_ORDER"]


async def test_packets_of_30_ms_become_frames_of_20() -> None:
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        said = bytes(range(240)) * 8
        for at in range(0, len(said), 480):
            edge.audio(said[at : at + 480])
        await until(lambda: site.door.calls and len(site.door.calls[0][2].frames) == 6)
        assert b"".join(site.door.calls[0][2].frames) == said


async def test_transfers_holds_and_whispers_go_both_ways() -> None:
    told = [Hold(True), Whisper("offer 10 %"), TransferFailed("NO_ANSWER"), Hold(False)]
    asked = [
        Transfer("queue:support", "attended", "asked", "They ask for a refund."),
        Summary("A refund of 499 rupees."),
        AnsweredBy("human", "short greeting"),
    ]
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        edge.text(protocol.hold(Hold(True)))
        edge.text(protocol.whisper(Whisper("offer 10 %")))
        edge.text(protocol.transfer_failed(TransferFailed("NO_ANSWER")))
        edge.text(protocol.hold(Hold(False)))
        await until(lambda: site.door.calls and len(site.door.calls[0][2].told) == 4)
        _, stream, caller = site.door.calls[0]
        assert caller.told == told
        stream.transfer(asked[0])  # type: ignore[arg-type]
        stream.summarise(asked[1])  # type: ignore[arg-type]
        stream.answered_by(asked[2])  # type: ignore[arg-type]
        await until(lambda: len(edge.texts) == 3)
        assert [protocol.control(orjson.dumps(text)) for text in edge.texts] == asked


async def test_a_broken_connection_is_no_clean_end() -> None:
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        await until(lambda: site.door.calls)
        edge.transport.disconnect()
        await until(lambda: site.door.calls[0][2].hangups)
        assert site.door.calls[0][2].hangups == ["NETWORK_OUT_OF_ORDER"]


@pytest.mark.parametrize("host", ["255.255.255.255", "240.0.0.1", "0.0.0.0", "127.0.0.1"])
async def test_playback_to_nowhere_never_raises(host: str) -> None:
    """The pacer that plays all calls must not meet one call's bad address."""
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer().replace(b"127.0.0.1:40000", host.encode() + b":9"))
        await until(lambda: site.door.calls)
        for _ in range(3):
            site.door.calls[0][1].play(bytes(320))


async def test_nothing_raises_once_the_edge_has_gone() -> None:
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        await until(lambda: site.door.calls)
        stream = site.door.calls[0][1]
        edge.transport.disconnect()
        await stream.closed(2)
        stream.answer()
        stream.hang_up("NORMAL_CLEARING")
        stream.play(bytes(320))
        stream.close()


async def test_a_stream_let_go_ends_at_once_and_tells_nobody() -> None:
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        await until(lambda: site.door.calls)
        _, stream, caller = site.door.calls[0]
        stream.let_go()
        stream.hang_up("NORMAL_CLEARING")
        await asyncio.wait_for(stream.closed(60), 10)
        await asyncio.wait_for(edge.closed.wait(), 10)
        assert not edge.texts and not caller.hangups


async def test_closed_waits_no_longer_than_told() -> None:
    async with serving() as site:
        edge = await site.connect()
        edge.text(offer())
        await until(lambda: site.door.calls)
        begin = time.monotonic()
        await site.door.calls[0][1].closed(0.1)
        assert 0.09 < time.monotonic() - begin < 10  # nobody closes it: for ever


@pytest.mark.parametrize(("status", "code"), [("ok", 200), ("starting", 503), ("draining", 503)])
async def test_health(status: str, code: int) -> None:
    async with serving(FakeDoor(status=status)) as site, aiohttp.ClientSession() as http:
        async with http.get(f"http://127.0.0.1:{site.port}/health") as response:
            assert response.status == code
            assert await response.json() == {"status": status, "calls": 0, "capacity": 3}


async def test_a_watcher_sees_events_and_leaves() -> None:
    async with serving() as site:
        edge = await site.connect("/watch", token.make(SECRET, "watch", time.time()))
        await until(lambda: site.door.watchers)
        for watcher in site.door.watchers:
            watcher.tell(b'{"event":"call"}')
        await until(lambda: edge.texts)
        assert edge.texts == [{"event": "call"}]
        edge.transport.disconnect()
        await until(lambda: not site.door.watchers)


async def test_a_watcher_that_does_not_read_is_let_go() -> None:
    async with serving() as site:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", site.port)) as raw:
            raw.setblocking(False)
            credential = token.make(SECRET, "watch", time.time())
            await loop.sock_sendall(
                raw,
                (
                    "GET /watch HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    f"Authorization: Bearer {credential}\r\n\r\n"
                ).encode(),
            )
            await until(lambda: site.door.watchers)
            (watcher,) = site.door.watchers
            for _ in range(3000):
                watcher.tell(b"x" * 10_000)
                if not site.door.watchers:
                    break
                await asyncio.sleep(0)
            assert not site.door.watchers
