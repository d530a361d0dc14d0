"""A SIP endpoint for tests: a carrier, a telephone, a person, at any loopback address.

    async with peer("127.0.0.2") as p:
        p.policy = Answer(after_s=0.5)
        call = await p.incoming()
        other = await p.ring("sip:1001@127.0.0.1:5060", number="+919800000001")
        other.play(pcm); other.heard(); other.press("0"); await other.hang_up()

RFC 3261 over UDP, digest (RFC 2617), G.711, RFC 4733; every call has its own RTP port.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal

from appliance.rehearsal.sip_message import SipMessage, address_of, parse, request, routes, uri_of
from tests.peeraudio import PCMA, PCMU, Audio

T1_S, T2_S = 0.5, 4.0
"""RFC 3261 §17.1.1.1: first retransmission; doubles up to T2."""
TRANSACTION_S = 10.0
ANSWER_S = 30.0
MOST_CALLS = 200
"""Calls that came in and no test has looked at; more are refused with 503."""
CODECS = {"PCMU": PCMU, "PCMA": PCMA}
REASONS = {
    180: "Ringing", 183: "Session Progress", 200: "OK", 404: "Not Found",
    405: "Method Not Allowed", 480: "Temporarily Unavailable", 481: "No Such Call",
    486: "Busy Here", 487: "Request Terminated", 500: "Server Error",
    503: "Service Unavailable", 603: "Decline",
}  # fmt: skip
_Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_MIRROR: dict[str, _Direction] = {
    "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive", "sendrecv": "sendrecv",
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """180 at once, 200 after ``after_s``."""

    after_s: float = 0.0


@dataclass(frozen=True)
class Ring:
    """180 and no more: ``call.answer()`` or nobody."""


@dataclass(frozen=True)
class Refuse:
    """A final status: 486, 480, 603, 503, 404, …"""

    status: int
    after_s: float = 0.0


@dataclass(frozen=True)
class Silent:
    """Not even a 100."""


Policy = Answer | Ring | Refuse | Silent


class State(Enum):
    CALLING = auto()
    """We ring them."""
    RINGING = auto()
    """They ring us."""
    UP = auto()
    OVER = auto()


class PeerCall:
    """One call of a peer, in or out."""

    def __init__(self, peer: Peer, call_id: str, ours: str, theirs: str, target: str) -> None:
        self._peer = peer
        self.call_id = call_id
        self._ours, self._theirs, self._target = ours, theirs, target
        self._route: list[str] = []
        self._to = address_of(target)
        self._cseq = secrets.randbelow(1000) + 1
        self._sdp_version = 0
        self._direction: _Direction = "sendrecv"
        self._changed = asyncio.Condition()
        self._invite_branch = ""
        self.state = State.CALLING
        self.audio = Audio(peer.host)
        self.invite: SipMessage | None = None
        """What they sent, of a call that came in."""
        self.uri = target
        """The Request-URI of the INVITE."""
        self.status = 0
        """Final status of the INVITE; 0 while there is none."""
        self.provisional: list[int] = []
        self.cause = ""
        """Text of the last Reason header: of the refusal, CANCEL or BYE."""
        self.cause_code = 0
        """Its Q.850 number."""
        self.ended_by: Literal["", "us", "them"] = ""
        self.held = False
        """They hold us."""
        self.reinvites = 0
        self.updates = 0

    # --- what a test reads ------------------------------------------------------------------------

    @property
    def answered(self) -> bool:
        return self.status // 100 == 2

    @property
    def headers(self) -> Mapping[str, str]:
        """Of their INVITE, by lower-case name, the first of each."""
        found = self.invite.headers if self.invite else {}
        return {name: values[0] for name, values in found.items()}

    @property
    def to_user(self) -> str:
        """Whom they rang: the user of the Request-URI."""
        return _user(self.uri)

    @property
    def from_user(self) -> str:
        return _user(uri_of(self.headers["from"]))

    def heard(self) -> bytes:
        """L16 at 8 kHz of all that was received, silence where nothing came."""
        return self.audio.heard()

    @property
    def frames(self) -> list[tuple[float, bytes]]:
        """(arrival in s on the monotonic clock, 20 ms of L16)."""
        return self.audio.frames

    def play(self, pcm: bytes) -> float:
        """Queue L16 at 8 kHz; the monotonic time at which it will have been said."""
        return self.audio.play(pcm)

    # --- what a test does -------------------------------------------------------------------------

    async def answer(self) -> None:
        """200 OK; returns when it has been sent."""
        assert self.invite is not None
        if self.state is not State.RINGING:
            return
        self._accept(self.invite.body)
        self.state, self.status = State.UP, 200
        self._respond(self.invite, 200, self._sdp(), self._timer(self.invite))
        self.audio.start()
        await self.tell()

    async def refuse(self, status: int) -> None:
        """A final status to their INVITE."""
        if self.state is State.RINGING and self.invite is not None:
            self._respond(self.invite, status)
            self.status = status
            await self._end("us")

    async def hang_up(self) -> None:
        """BYE, CANCEL or 603, as the state asks for."""
        match self.state:
            case State.UP:
                await self._end("us")
                await self._ask("BYE")
            case State.RINGING:
                await self.refuse(603)
            case State.CALLING:
                self.ended_by = "us"
                self._send("CANCEL", self._cseq, self._invite_branch)
                await self.final()

    async def final(self, timeout_s: float = ANSWER_S) -> int:
        """The final status of the INVITE. Raises TimeoutError."""
        await self._until(lambda: self.status != 0, timeout_s)
        return self.status

    async def rings(self, timeout_s: float = 15.0) -> None:
        """Wait for 180 or 183. Raises TimeoutError."""
        await self._until(lambda: any(s > 100 for s in self.provisional), timeout_s)

    async def ended(self, timeout_s: float = 20.0) -> Literal["", "us", "them"]:
        """Who ended the call. Raises TimeoutError while it goes on."""
        await self._until(lambda: self.state is State.OVER, timeout_s)
        return self.ended_by

    async def hold(self, direction: _Direction = "sendonly") -> int:
        """Put them on hold (re-INVITE); the final status."""
        return await self._renegotiate(direction)

    async def resume(self) -> int:
        return await self._renegotiate("sendrecv")

    async def press(self, keys: str, *, info: bool = False, duration_ms: int = 120) -> None:
        """Press keys as RFC 4733 events, or each as a SIP INFO; returns when all were sent."""
        for key in keys:
            if info:
                body = f"Signal={key}\r\nDuration={duration_ms}\r\n"
                await self._ask("INFO", body, kind="application/dtmf-relay")
            else:
                self.audio.press(key, duration_ms)
                await asyncio.sleep((duration_ms + 100) / 1000)

    # --- what the peer does -----------------------------------------------------------------------

    async def dial(self, login: tuple[str, str] | None, headers: Mapping[str, str]) -> None:
        """INVITE until a final response (the peer's own)."""
        answer = await self._ask("INVITE", self._sdp(), extra=headers, timeout_s=None)
        if login is not None and answer.status in (401, 407) and self.state is State.CALLING:
            proof = authorization(answer, "INVITE", self._target, *login)
            answer = await self._ask(
                "INVITE", self._sdp(), extra={**headers, **proof}, timeout_s=None
            )
        self._learn(answer)
        if answer.status < 300:
            self._theirs = answer.first("to")
            self._target = uri_of(answer.first("contact"))
            self._route = routes(answer.headers.get("record-route", []))[::-1]
            self._accept(answer.body)
            self._send("ACK", answer.cseq[0], _branch())
            self.audio.start()
            self.state, self.status = State.UP, answer.status
            if self.ended_by:  # the CANCEL came too late
                await self.hang_up()
            await self.tell()
        else:
            self.status = answer.status
            await self._end(self.ended_by or "them")

    async def on_request(self, message: SipMessage) -> None:
        """A request in this dialog (the peer's own)."""
        match message.method:
            case "INVITE" if self.state is State.UP:
                self.reinvites += 1
                self._accept(message.body)
                self._respond(message, 200, self._sdp(), self._timer(message))
            case "CANCEL":
                self._respond(message, 200)
                if self.state is State.RINGING and self.invite is not None:
                    self._learn(message)
                    self._respond(self.invite, 487)
                    self.status = 487
                    await self._end("them")
            case "BYE":
                self._respond(message, 200)
                if self.state is not State.OVER:
                    self._learn(message)
                    await self._end("them")
            case "UPDATE":
                self.updates += 1
                if message.body:
                    self._accept(message.body)
                sdp = self._sdp() if message.body else ""
                self._respond(message, 200, sdp, self._timer(message))
            case "ACK":
                pass
            case "INFO" | "OPTIONS" | "MESSAGE" | "NOTIFY":
                self._respond(message, 200)
            case _:
                self._respond(message, 405)
        await self.tell()

    async def come_in(self, message: SipMessage, policy: Policy) -> None:
        """Their INVITE (the peer's own)."""
        self.state, self.invite = State.RINGING, message
        self._route = routes(message.headers.get("record-route", []))
        if isinstance(policy, Silent):
            return
        if not isinstance(policy, Refuse) or policy.after_s:
            self._respond(message, 180)
        if isinstance(policy, Ring):
            return
        await asyncio.sleep(policy.after_s)
        if isinstance(policy, Answer):
            await self.answer()
        else:
            await self.refuse(policy.status)

    async def close(self) -> None:
        await self.audio.close()

    def provisional_came(self, message: SipMessage) -> None:
        """100 to 199 to our INVITE (the peer's own)."""
        self.provisional.append(message.status)
        if message.body:
            with contextlib.suppress(ValueError):
                self._accept(message.body)

    async def _renegotiate(self, direction: _Direction) -> int:
        self._direction = direction
        answer = await self._ask("INVITE", self._sdp())
        self._send("ACK", answer.cseq[0], _branch())
        return answer.status

    async def _ask(
        self, method: str, body: str = "", *, kind: str = "application/sdp",
        extra: Mapping[str, str] | None = None, timeout_s: float | None = TRANSACTION_S,
    ) -> SipMessage:  # fmt: skip
        """One request and its final response. Raises TimeoutError."""
        self._cseq += 1
        branch = _branch()
        if method == "INVITE" and self.state is State.CALLING:
            self._invite_branch = branch
        data = self._build(method, self._cseq, branch, body, kind, extra or {})
        answer = await self._peer.transact(data, branch, self._to, self, timeout_s)
        if method == "INVITE" and answer.status >= 300:
            self._theirs, theirs = answer.first("to"), self._theirs
            self._send("ACK", self._cseq, branch)
            if self.state is State.CALLING:
                self._theirs = theirs  # a new INVITE (with a password) has no tag
        return answer

    def _send(self, method: str, cseq: int, branch: str) -> None:
        self._peer.send(self._build(method, cseq, branch, "", "", {}), self._to)

    def _build(
        self, method: str, cseq: int, branch: str, body: str, kind: str, extra: Mapping[str, str]
    ) -> bytes:
        peer = self._peer
        headers = [
            ("Via", f"SIP/2.0/UDP {peer.host}:{peer.port};rport;branch={branch}"),
            ("Max-Forwards", "70"),
            *(("Route", route) for route in self._route),
            ("From", self._ours), ("To", self._theirs), ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"), ("Contact", f"<{peer.contact}>"),
            ("Supported", "timer"), ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE"),
            *extra.items(),
        ]  # fmt: skip
        if body:
            headers.append(("Content-Type", kind))
        return request(method, self._target, headers, body)

    def _respond(
        self, to: SipMessage, status: int, body: str = "", extra: Mapping[str, str] | None = None
    ) -> None:
        self._peer.respond(to, status, self._ours if to is self.invite else "", body, extra or {})

    def _timer(self, message: SipMessage) -> dict[str, str]:
        """RFC 4028: they refresh, we answer."""
        expires = message.first("session-expires").partition(";")[0]
        if not expires:
            return {}
        return {"Session-Expires": f"{expires};refresher=uac", "Require": "timer"}

    def _sdp(self) -> str:
        self._sdp_version += 1
        host, audio = self._peer.host, self.audio
        names = {kind: name for name, kind in CODECS.items()}
        kinds = [audio.codec] if self.answered or self.invite else list(self._peer.codecs)
        maps = "".join(f"a=rtpmap:{kind} {names[kind]}/8000\r\n" for kind in kinds)
        event = audio.event_type
        return (
            f"v=0\r\no=- 1 {self._sdp_version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\n"
            f"t=0 0\r\nm=audio {audio.port} RTP/AVP {' '.join(map(str, kinds))} {event}\r\n{maps}"
            f"a=rtpmap:{event} telephone-event/8000\r\na=fmtp:{event} 0-15\r\na=ptime:20\r\n"
            f"a={self._direction}\r\n"
        )

    def _accept(self, sdp: str) -> None:
        """Talk as their SDP says. Raises ValueError: there is no G.711 in it."""
        if not sdp.strip():
            return
        media = re.search(r"^m=audio (\d+) \S+ ([\d ]+)", sdp, re.MULTILINE)
        host = re.search(r"^c=IN IP4 (\S+)", sdp, re.MULTILINE)
        offered = [int(kind) for kind in media[2].split()] if media else []
        usable = [kind for kind in offered if kind in self._peer.codecs]
        if not media or not host or not usable:
            raise ValueError(f"no G.711 for us in {sdp!r}")
        self.audio.codec = usable[0]
        if event := re.search(r"^a=rtpmap:(\d+) telephone-event/8000", sdp, re.MULTILINE):
            self.audio.event_type = int(event[1])
        self.audio.remote = (host[1], int(media[1]))
        said = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)", sdp, re.MULTILINE)
        theirs = said[1] if said else "sendrecv"
        self.held = theirs in ("sendonly", "inactive")
        if self.invite is not None or self.answered:
            self._direction = _MIRROR[theirs] if theirs != "recvonly" else self._direction
        self.audio.sending = theirs != "inactive"

    def _learn(self, message: SipMessage) -> None:
        reason = message.first("reason")
        if text := re.search(r'text="([^"]*)"', reason):
            self.cause = text[1]
        if code := re.search(r"Q\.850\s*;\s*cause=(\d+)", reason):
            self.cause_code = int(code[1])

    async def _end(self, by: Literal["", "us", "them"]) -> None:
        self.state, self.ended_by = State.OVER, by
        self.audio.sending = False
        await self.tell()

    async def tell(self) -> None:
        """Wake whoever waits for a change."""
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, done: Any, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(done)


class Peer(asyncio.DatagramProtocol):
    """One SIP user agent on a port of its own."""

    def __init__(self, host: str, user: str) -> None:
        self.host, self.user = host, user
        self.port = 0
        self.policy: Policy = Ring()
        """What becomes of calls to us."""
        self.policies: dict[str, Policy] = {}
        """By the number rung, before :attr:`policy`: one peer may be many persons."""
        self.codecs: tuple[int, ...] = (PCMU, PCMA)
        self.calls: list[PeerCall] = []
        self.seen: list[SipMessage] = []
        """Every message that came."""
        self._transport: asyncio.DatagramTransport | None = None
        self._arrived: asyncio.Queue[PeerCall] = asyncio.Queue(MOST_CALLS)
        self._dialogs: dict[str, PeerCall] = {}
        self._waiting: dict[str, tuple[asyncio.Queue[SipMessage], PeerCall | None]] = {}
        self._answers: dict[tuple[str, str], bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.faults: list[BaseException] = []
        """What went wrong in the background; raised at the end of :func:`peer`."""
        self._registration = f"{secrets.token_hex(8)}@{host}"
        self._registrations = 0
        """RFC 3261 §10.2: one Call-ID for all, CSeq counts up."""
        self._registered: tuple[str, str, str, tuple[str, int]] | None = None

    @property
    def uri(self) -> str:
        """Where we can be rung."""
        return f"sip:{self.user}@{self.host}:{self.port}"

    @property
    def contact(self) -> str:
        return self.uri

    async def incoming(self, timeout_s: float = 15.0) -> PeerCall:
        """The next call to us. Raises TimeoutError."""
        return await asyncio.wait_for(self._arrived.get(), timeout_s)

    def dial(
        self, uri: str, number: str = "", *, name: str = "", domain: str = "",
        login: tuple[str, str] | None = None, headers: Mapping[str, str] | None = None,
        to: str = "",
    ) -> PeerCall:  # fmt: skip
        """Begin a call and return at once. ``login``: user and password for a digest challenge;
        ``to``: the URI in To, where it is not the Request-URI."""
        who = f"sip:{number or self.user}@{domain or self.host}"
        shown = f'"{name}" ' if name else ""
        ours = f"{shown}<{who}>;tag={secrets.token_hex(4)}"
        call = PeerCall(self, f"{secrets.token_hex(8)}@{self.host}", ours, f"<{to or uri}>", uri)
        self._keep(call)
        self._spawn(call.dial(login, headers or {}))
        return call

    async def ring(
        self, uri: str, number: str = "", *, name: str = "", domain: str = "",
        login: tuple[str, str] | None = None, headers: Mapping[str, str] | None = None,
        to: str = "", timeout_s: float = ANSWER_S,
    ) -> PeerCall:  # fmt: skip
        """Call and wait for the final response; after ``timeout_s`` CANCEL (``call.status`` 487)."""
        call = self.dial(uri, number, name=name, domain=domain, login=login, headers=headers, to=to)
        try:
            await call.final(timeout_s)
        except TimeoutError:
            await call.hang_up()
        return call

    async def register(
        self, extension: str, password: str, domain: str, server: tuple[str, int],
        expires_s: int = 300,
    ) -> int:  # fmt: skip
        """REGISTER as ``extension``, which is then our user part; the final status."""
        self.user = extension
        self._registered = (extension, password, domain, server)
        uri = f"sip:{domain}"
        extra: dict[str, str] = {}
        for _ in (1, 2):
            self._registrations += 1
            branch = _branch()
            headers = [
                ("Via", f"SIP/2.0/UDP {self.host}:{self.port};rport;branch={branch}"),
                ("Max-Forwards", "70"),
                ("From", f"<sip:{extension}@{domain}>;tag={secrets.token_hex(4)}"),
                ("To", f"<sip:{extension}@{domain}>"), ("Call-ID", self._registration),
                ("CSeq", f"{self._registrations} REGISTER"), ("Contact", f"<{self.contact}>"),
                ("Expires", str(expires_s)), *extra.items(),
            ]  # fmt: skip
            data = request("REGISTER", uri, headers)
            answer = await self.transact(data, branch, server, None, TRANSACTION_S)
            if answer.status not in (401, 407):
                break
            extra = authorization(answer, "REGISTER", uri, extension, password)
        return answer.status

    async def unregister(self) -> int:
        """The last registration, taken back."""
        assert self._registered is not None
        return await self.register(*self._registered, expires_s=0)

    # --- the wire ---------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        """Anything at all."""
        assert self._transport is not None
        self._transport.sendto(data, to)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        try:
            message = parse(data)
        except ValueError:
            return  # keep-alives and noise
        self.seen.append(message)
        if not message.method:
            self._on_response(message)
        elif answer := self._answers.get(_key(message)):
            self.send(answer, _back(message, address))  # a request that was sent again
        else:
            self._on_request(message, data.split(b" ", 2)[1].decode())

    async def transact(
        self, data: bytes, branch: str, to: tuple[str, int], call: PeerCall | None,
        timeout_s: float | None,
    ) -> SipMessage:  # fmt: skip
        """Send a request, again until it is answered; the final response. Raises TimeoutError."""
        inbox: asyncio.Queue[SipMessage] = asyncio.Queue(64)  # full: dropped, as UDP may
        self._waiting[branch] = (inbox, call)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._repeat(data, to, inbox)
        finally:
            del self._waiting[branch]

    def respond(
        self, to: SipMessage, status: int, contact_to: str, body: str, extra: Mapping[str, str]
    ) -> None:
        """Answer a request; ``contact_to``: our To with its tag, where the request's has none."""
        lines = [f"SIP/2.0 {status} {REASONS.get(status, 'Whatever')}"]
        for name in ("via", "record-route", "from", "to", "call-id", "cseq"):
            values = to.headers.get(name, [])
            if name == "to" and contact_to and status > 100:
                values = [contact_to]
            lines += [f"{name.title()}: {value}" for value in values]
        lines += [f"{name}: {value}" for name, value in extra.items()]
        lines += [f"Contact: <{self.contact}>", "Supported: timer"]
        lines += ["Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE"]
        lines += ["Content-Type: application/sdp"] if body else []
        lines += [f"Content-Length: {len(body.encode())}"]
        data = ("\r\n".join(lines) + f"\r\n\r\n{body}").encode()
        self._answers[_key(to)] = data
        self.send(data, _back(to, (self.host, 5060)))

    async def close(self) -> None:
        """No BYE: what is up breaks off, as a telephone's power does."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for call in self.calls:
            await call.close()
        if self._transport is not None:
            self._transport.close()

    async def _repeat(
        self, data: bytes, to: tuple[str, int], inbox: asyncio.Queue[SipMessage]
    ) -> SipMessage:
        wait_s: float | None = T1_S
        self.send(data, to)
        while True:
            try:
                async with asyncio.timeout(wait_s):
                    answer = await inbox.get()
            except TimeoutError:
                wait_s = min(2 * (wait_s or T1_S), T2_S)
                self.send(data, to)
                continue
            if answer.status >= 200:
                return answer
            if answer.cseq[1] == "INVITE":
                wait_s = None  # it arrived; now it may ring as long as they like

    def _on_response(self, message: SipMessage) -> None:
        branch = _param(message.first("via"), "branch")
        if message.cseq[1] == "CANCEL":
            return
        inbox, call = self._waiting.get(branch, (None, None))
        if inbox is None:
            return
        if call is not None and message.status < 200:
            call.provisional_came(message)
            self._spawn(call.tell())
        if not inbox.full():
            inbox.put_nowait(message)

    def _on_request(self, message: SipMessage, uri: str) -> None:
        call = self._dialogs.get(message.first("call-id"))
        if call is not None:
            self._spawn(call.on_request(message))
        elif message.method == "INVITE":
            self._on_invite(message, uri)
        elif message.method == "OPTIONS":
            self.respond(message, 200, "", "", {"Accept": "application/sdp"})
        elif message.method != "ACK":
            self.respond(message, 481 if message.to_tag else 405, "", "", {})

    def _on_invite(self, message: SipMessage, uri: str) -> None:
        if self._arrived.full():
            self.respond(message, 503, "", "", {})
            return
        ours = f"{message.first('to')};tag={secrets.token_hex(4)}"
        call_id, theirs = message.first("call-id"), message.first("from")
        call = PeerCall(self, call_id, ours, theirs, uri_of(message.first("contact")))
        call.uri = uri
        self._keep(call)
        policy = self.policies.get(call.to_user, self.policy)
        self._spawn(call.come_in(message, policy))
        call.invite = message
        self._arrived.put_nowait(call)

    def _keep(self, call: PeerCall) -> None:
        self._dialogs[call.call_id] = call
        self.calls.append(call)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            self.faults.append(fault)


@asynccontextmanager
async def peer(
    address: str = "127.0.0.1", user: str = "peer", port: int = 0
) -> AsyncIterator[Peer]:
    """A peer on a free port (or ``port``) of a loopback address."""
    loop = asyncio.get_running_loop()
    _, made = await loop.create_datagram_endpoint(
        lambda: Peer(address, user), local_addr=(address, port)
    )
    try:
        yield made
    finally:
        await made.close()
    if made.faults:
        raise made.faults[0]


def authorization(
    challenge: SipMessage, method: str, uri: str, user: str, password: str
) -> dict[str, str]:
    """The header that answers a digest challenge (RFC 2617: MD5, with or without qop)."""
    proxy = challenge.status == 407
    text = challenge.first("proxy-authenticate" if proxy else "www-authenticate")
    asked = dict(re.findall(r'(\w+)=(?:"([^"]*)")?', text))
    nonce, cnonce = asked["nonce"], secrets.token_hex(4)
    a1, a2 = _md5(f"{user}:{asked['realm']}:{password}"), _md5(f"{method}:{uri}")
    value = f'Digest username="{user}", realm="{asked["realm"]}", nonce="{nonce}", uri="{uri}"'
    if "qop" in asked:
        proof = _md5(f"{a1}:{nonce}:00000001:{cnonce}:auth:{a2}")
        value += f', qop=auth, nc=00000001, cnonce="{cnonce}"'
    else:
        proof = _md5(f"{a1}:{nonce}:{a2}")
    name = "Proxy-Authorization" if proxy else "Authorization"
    return {name: f'{value}, response="{proof}", algorithm=MD5'}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _branch() -> str:
    return f"z9hG4bK{secrets.token_hex(8)}"


def _key(message: SipMessage) -> tuple[str, str]:
    return _param(message.first("via"), "branch"), message.method


def _param(value: str, name: str) -> str:
    found = re.search(rf";\s*{name}=([^;,\s]*)", value)
    return found[1] if found else ""


def _back(message: SipMessage, default: tuple[str, int]) -> tuple[str, int]:
    """Where a response goes: the top Via's address."""
    sent_by = message.first("via").split(",")[0].split(";")[0].split()[-1]
    host, port = address_of(f"sip:{sent_by}")
    received = _param(message.first("via"), "received")
    return (received or host, port)


def _user(uri: str) -> str:
    found = re.search(r"sips?:([^@;>]*)@", uri)
    return found[1] if found else ""
