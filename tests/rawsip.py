"""A telephone made of two sockets: says exactly what it is told to say, good SIP or bad.

It calls and is called, registers, sends RTP of silence or a given payload and keeps what it hears.
Unlike a SIP library it can stand at any loopback address and can lie.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import secrets
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from appliance.audio import level_db, ulaw_decode
from appliance.telephony.sipmessage import Request, Response, parse

RTP_HEADER_BYTES = 12
SILENCE = {0: b"\xff" * 160, 8: b"\xd5" * 160, 9: b"\xff" * 160, 116: b"\xf8\xff\xfe"}
"""20 ms of it by payload type: G.711 both, G.722, Opus."""
RTPMAP = {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000", 116: "opus/48000/2"}
SOUND_DB = -45.0


@dataclass
class Line:
    """One dialog of the telephone."""

    call_id: str
    ours: str
    """Our From (or To) header, tag included."""
    theirs: str
    target: str
    cseq: int = 1
    responses: list[Response] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """A BYE came."""

    @property
    def status(self) -> int:
        """Of the last response."""
        return self.responses[-1].status if self.responses else 0


class Telephone(asyncio.DatagramProtocol):
    """One address; calls and is called, one RTP stream for all."""

    def __init__(self, host: str, server: tuple[str, int]) -> None:
        self.host, self.server = host, server
        self.rings: asyncio.Queue[tuple[Line, Request]] = asyncio.Queue(maxsize=20)
        """INVITEs that came; a test looks at each."""
        self.answers = True
        """Whether an INVITE gets 200 at once; otherwise it rings."""
        self.moved_to = ""
        """A SIP URI: every INVITE is sent on there (302)."""
        self.said: list[Request | Response] = []
        self.heard: list[tuple[int, bytes]] = []
        """(payload type, payload) of every RTP packet."""
        self.payload_type = 0
        self._waiting: dict[str, asyncio.Queue[Response]] = {}
        self._lines: dict[str, Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def at(cls, host: str, server: tuple[str, int]) -> AsyncIterator[Telephone]:
        loop = asyncio.get_running_loop()
        _, phone = await loop.create_datagram_endpoint(
            lambda: cls(host, server), local_addr=(host, 0)
        )
        phone._rtp, _ = await loop.create_datagram_endpoint(
            lambda: _Rtp(phone.heard), local_addr=(host, 0)
        )
        try:
            yield phone
        finally:
            for task in phone._tasks:
                task.cancel()
            phone._rtp.close()
            phone.transport.close()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def send(self, data: bytes) -> None:
        """Anything at all."""
        self.transport.sendto(data, self.server)

    def datagram_received(self, data: bytes, address: object) -> None:
        if not data.strip():
            return
        message = parse(data)
        self.said.append(message)
        if isinstance(message, Response):
            if (call_id := message.headers.get("call-id")) in self._waiting:
                self._waiting[call_id].put_nowait(message)
        else:
            self._request(message)

    def request(self, method: str, uri: str, line: Line, extra: str = "", body: str = "") -> bytes:
        """The text of one request; ``extra`` are whole header lines."""
        return (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK{secrets.token_hex(6)};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: {line.ours}\r\nTo: {line.theirs}\r\n"
            f"Call-ID: {line.call_id}\r\nCSeq: {line.cseq} {method}\r\n"
            f"Contact: <sip:me@{self.host}:{self.port}>\r\n{extra}"
            + ("Content-Type: application/sdp\r\n" if body else "")
            + f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
        ).encode()

    def line(self, uri: str, me: str = "+919800000001", name: str = "") -> Line:
        """A new dialog, not yet begun."""
        ours = f"{name}<sip:{me}@{self.host}>;tag={secrets.token_hex(4)}"
        line = Line(secrets.token_hex(8), ours, f"<{uri}>", uri)
        self._lines[line.call_id] = line
        return line

    async def ask(
        self, method: str, uri: str, line: Line | None = None, *, extra: str = "", body: str = "",
        timeout_s: float = 3.0,
    ) -> Response | None:  # fmt: skip
        """Send one request; the final response, or None for silence."""
        line = line or self.line(uri)
        queue = self._waiting[line.call_id] = asyncio.Queue(maxsize=50)
        self.send(self.request(method, uri, line, extra, body))
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    line.responses.append(response := await queue.get())
                    if response.status >= 200:
                        return response
        except TimeoutError:
            return None

    async def call(
        self, user: str, *, payload_types: tuple[int, ...] = (0,), line: Line | None = None,
        login: tuple[str, str] | None = None, extra: str = "", timeout_s: float = 10.0,
    ) -> Line:  # fmt: skip
        """INVITE, ACK and talk silence; the line, whose ``status`` tells how it went."""
        uri = f"sip:{user}@{self.server[0]}:{self.server[1]}"
        line = line or self.line(uri)
        body = self.sdp(payload_types)
        response = await self.ask("INVITE", uri, line, extra=extra, body=body, timeout_s=timeout_s)
        if response and response.status in (401, 407):
            self._acknowledge(line, response, uri)
            if login is None:
                return line
            line.cseq += 1
            more = extra + authorization(response, "INVITE", uri, *login)
            response = await self.ask(
                "INVITE", uri, line, extra=more, body=body, timeout_s=timeout_s
            )
        if response:
            self._acknowledge(line, response, uri)
            if response.status == 200:
                self._talk(response.body.decode())
        return line

    async def register(self, extension: str, password: str, domain: str) -> int:
        """The final status of a registration."""
        uri = f"sip:{domain}"
        line = self.line(uri, extension)
        line.ours = f"<sip:{extension}@{domain}>;tag={secrets.token_hex(4)}"
        line.theirs = f"<sip:{extension}@{domain}>"
        extra = "Expires: 300\r\n"
        response = await self.ask("REGISTER", uri, line, extra=extra)
        if response and response.status == 401:
            line.cseq += 1
            extra += authorization(response, "REGISTER", uri, extension, password)
            response = await self.ask("REGISTER", uri, line, extra=extra)
        return response.status if response else 0

    async def hang_up(self, line: Line) -> None:
        line.cseq += 1
        await self.ask("BYE", line.target, line)

    def sdp(self, payload_types: tuple[int, ...]) -> str:
        port = self._rtp.get_extra_info("sockname")[1]
        kinds = " ".join(map(str, payload_types))
        maps = "".join(f"a=rtpmap:{pt} {RTPMAP[pt]}\r\n" for pt in payload_types)
        self.payload_type = payload_types[0]
        return (
            f"v=0\r\no=me 1 1 IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {self.host}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP {kinds}\r\n{maps}a=ptime:20\r\na=sendrecv\r\n"
        )

    def sound_ms(self) -> int:
        """How much of what was heard, in G.711 µ-law, was sound."""
        return sum(
            20 for kind, payload in self.heard
            if kind == 0 and level_db(np.frombuffer(ulaw_decode(payload), "<i2")) > SOUND_DB
        )  # fmt: skip

    def _acknowledge(self, line: Line, response: Response, uri: str) -> None:
        before, line.theirs = line.theirs, response.headers.get("to")
        if response.status == 200:
            line.target = _uri(response.headers.get("contact"))
            self.send(self.request("ACK", line.target, line))
            return
        ack = self.request("ACK", uri, line)  # to a refusal: of the same transaction
        via = b"Via: " + response.headers.get("via").encode()
        self.send(re.sub(rb"Via: [^\r]+", via, ack, count=1))
        line.theirs = before

    def _request(self, request: Request) -> None:
        line = self._lines.get(request.headers.get("call-id"))
        if request.method == "INVITE" and line is None:
            line = Line(
                request.headers.get("call-id"),
                f"{request.headers.get('to')};tag={secrets.token_hex(4)}",
                request.headers.get("from"),
                _uri(request.headers.get("contact")),
            )
            self._lines[line.call_id] = line
            if self.moved_to:
                self._respond(request, "302 Moved Temporarily", line.ours)
                return
            self._respond(request, "180 Ringing", line.ours)
            self.rings.put_nowait((line, request))
            if self.answers:
                self._respond(request, "200 OK", line.ours, self.sdp((0,)))
                self._talk(request.body.decode())
        elif request.method == "CANCEL" and line is not None:
            line.over.set()
            self._respond(request, "200 OK")
        elif request.method != "ACK":
            if request.method == "BYE" and line is not None:
                line.over.set()
            self._respond(request, "200 OK")

    def _respond(self, request: Request, status: str, to: str = "", body: str = "") -> None:
        vias = "".join(f"Via: {via}\r\n" for via in request.headers.all("via"))
        head = request.headers
        self.send(
            (
                f"SIP/2.0 {status}\r\n{vias}From: {head.get('from')}\r\nTo: {to or head.get('to')}\r\n"
                f"Call-ID: {head.get('call-id')}\r\nCSeq: {head.get('cseq')}\r\n"
                f"Contact: <{self.moved_to or f'sip:me@{self.host}:{self.port}'}>\r\n"
                + ("Content-Type: application/sdp\r\n" if body else "")
                + f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )

    def _talk(self, sdp: str) -> None:
        host = re.search(r"c=IN IP4 (\S+)", sdp)
        port = re.search(r"m=audio (\d+) \S+ (\d+)", sdp)
        assert host and port
        kind = int(port[2])
        task = asyncio.create_task(self._send_rtp((host[1], int(port[1])), kind))
        self._tasks.add(task)

    async def _send_rtp(self, to: tuple[str, int], kind: int) -> None:
        step = 960 if RTPMAP.get(kind, "").startswith("opus") else 160
        with contextlib.suppress(asyncio.CancelledError):
            for n in range(10_000):
                head = struct.pack("!BBHII", 0x80, kind, n & 0xFFFF, n * step, 7)
                self._rtp.sendto(head + SILENCE.get(kind, b"\xff" * 160), to)
                await asyncio.sleep(0.02)

    _rtp: asyncio.DatagramTransport


class _Rtp(asyncio.DatagramProtocol):
    def __init__(self, heard: list[tuple[int, bytes]]) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, address: object) -> None:
        self._heard.append((data[1] & 0x7F, data[RTP_HEADER_BYTES:]))


def authorization(challenge: Response, method: str, uri: str, user: str, password: str) -> str:
    """The header line that answers a digest challenge (RFC 2617, MD5, qop auth)."""
    name = "WWW-Authenticate" if challenge.status == 401 else "Proxy-Authenticate"
    asked = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge.headers.get(name.lower())))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    a1, a2 = md5(f"{user}:{asked['realm']}:{password}"), md5(f"{method}:{uri}")
    proof = md5(f"{a1}:{asked['nonce']}:00000001:abcd:auth:{a2}")
    answer = name.replace("WWW-Authenticate", "Authorization").replace("enticate", "orization")
    return (
        f'{answer}: Digest username="{user}", realm="{asked["realm"]}", nonce="{asked["nonce"]}",'
        f' uri="{uri}", response="{proof}", algorithm=MD5, qop=auth, nc=00000001, cnonce="abcd"\r\n'
    )


def _uri(header: str) -> str:
    found = re.search(r"<([^>]+)>", header)
    return found[1] if found else header
