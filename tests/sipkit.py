"""What the SIP tests share: a small real worker, an `ivr sip` in this loop, tones, free ports."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from aiohttp import WSMsgType, web

from appliance.audio import frame_bytes, write_wav
from appliance.ops.keeping.ports import free_port
from appliance.settings import Settings, Sip
from appliance.telephony.sip import SipOffice


def tone(ms: int, rate_hz: int = 8000, hz: float = 700.0, level: float = 0.3) -> bytes:
    """A sine, L16."""
    t = np.arange(rate_hz * ms // 1000) / rate_hz
    return (np.sin(2 * np.pi * hz * t) * level * 32767).astype("<i2").tobytes()


def tone_file(path: Path, ms: int, rate_hz: int = 8000) -> Path:
    write_wav(path, [tone(ms, rate_hz)], rate_hz)
    return path


class Stream:
    """One call at the test worker."""

    def __init__(
        self, worker: MediaWorker, ws: web.WebSocketResponse, offer: dict[str, Any]
    ) -> None:
        self.offer = offer
        self.texts: list[dict[str, Any]] = []
        self.sizes: set[int] = set()
        self.frames = 0
        self.over = asyncio.Event()
        self.ws = ws
        self._worker = worker
        host, port = offer["playback"].split(":")
        self.playback = (host, int(port))

    def say(self, frame: bytes) -> None:
        """One datagram for the caller."""
        self._worker.udp.sendto(frame, self.playback)

    async def send(self, **message: object) -> None:
        await self.ws.send_str(orjson.dumps(message).decode())


class MediaWorker:
    """A worker's media side (docs/wires.md §1): checks the token, answers, echoes."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self.streams: list[Stream] = []
        self.arrived = asyncio.Event()
        self.refuse = False
        self.answers = True
        self.echoes = True
        self.calls = 0
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.setblocking(False)
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def open(self) -> None:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/call", self._call)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        for stream in self.streams:
            await stream.ws.close()
        if self._runner:
            await self._runner.cleanup()
        self.udp.close()

    async def stream(self, index: int = -1, timeout_s: float = 8.0) -> Stream:
        """The next call that arrives, or the one at ``index`` when it is there."""
        async with asyncio.timeout(timeout_s):
            while len(self.streams) <= max(index, 0):
                self.arrived.clear()
                await self.arrived.wait()
        return self.streams[index]

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "calls": self.calls, "capacity": 100})

    def _token_is_good(self, header: str) -> bool:
        version, call_id, expiry, mac = header.removeprefix("Bearer ").split(".")
        text = f"{version}.{call_id}.{expiry}".encode()
        return hmac.compare_digest(
            hmac.new(self._secret.encode(), text, hashlib.sha256).hexdigest(), mac
        )

    async def _call(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            return web.Response(status=503)
        header = request.headers.get("Authorization", "")
        if not self._token_is_good(header):
            return web.Response(status=401)
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        text = (await ws.receive(timeout=10)).data
        assert " " not in text
        offer = orjson.loads(text)
        assert offer["call_id"] == header.split(".")[1]
        stream = Stream(self, ws, offer)
        self.streams.append(stream)
        self.calls += 1
        self.arrived.set()
        if self.answers:
            await stream.send(type="answer")
        await self._listen(stream)
        self.calls -= 1
        stream.over.set()
        return ws

    async def _listen(self, stream: Stream) -> None:
        async for message in stream.ws:
            if message.type is WSMsgType.BINARY:
                stream.frames += 1
                stream.sizes.add(len(message.data))
                assert len(message.data) == frame_bytes(stream.offer["rate"])
                if self.echoes:
                    stream.say(message.data)
            else:
                stream.texts.append(orjson.loads(message.data))


def sip_settings(folder: Path, worker_urls: tuple[str, ...], **sip: Any) -> Settings:
    """Settings of an `ivr sip` on free ports."""
    fields: dict[str, Any] = {
        "port": free_port(),
        "processes": 1,
        "rtp_port": random.randrange(20000, 50000, 200),
        "worker_urls": worker_urls,
    }
    return Settings(data_dir=folder, sip=Sip(**(fields | sip)))


async def options(port: int, timeout_s: float = 5.0) -> bytes:
    """Ask OPTIONS by UDP; the answer, or b"" for none."""
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        mine = sock.getsockname()[1]
        await loop.sock_sendto(sock, options_message(mine, port), ("127.0.0.1", port))
        try:
            return await asyncio.wait_for(loop.sock_recv(sock, 4096), timeout_s)
        except TimeoutError:
            return b""


def options_message(mine: int, port: int) -> bytes:
    return (
        f"OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{mine};branch=z9hG4bK{random.random()};rport\r\n"
        f"From: <sip:pbx@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\n"
        f"Call-ID: {random.random()}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


async def until_ready(port: int, timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not (await options(port, 0.3)).startswith(b"SIP/2.0 200"):
            await asyncio.sleep(0.05)


@asynccontextmanager
async def sip_office(
    settings: Settings, *, ready: bool = True, silent_rtp_s: float = 30.0
) -> AsyncIterator[SipOffice]:
    """`ivr sip` in this loop, its children real processes."""
    office = SipOffice(settings, silent_rtp_s=silent_rtp_s)
    await office.open()
    try:
        if ready:
            await until_ready(settings.sip.port)
        yield office
    finally:
        await office.close()


@asynccontextmanager
async def media_worker(folder: Path) -> AsyncIterator[MediaWorker]:
    worker = MediaWorker(Settings(data_dir=folder).secret("media"))
    await worker.open()
    try:
        yield worker
    finally:
        await worker.close()
