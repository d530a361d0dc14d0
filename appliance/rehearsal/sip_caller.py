"""N simultaneous SIP callers in one process: G.711 over RTP, RFC 3261 on one UDP socket."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from appliance.rehearsal.calls import CallReport, Rehearsal, Watch, rehearse
from appliance.rehearsal.conversation import FRAME_S, Conversation, Line
from appliance.rehearsal.lateness import lateness
from appliance.rehearsal.rtp import RtpStream, Weather, ip_towards
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

RATE_HZ = 8000
FRAME_BYTES = 320
T1_S = 0.5
"""RFC 3261 §17.1.1.1: first retransmission; doubles up to T2."""
T2_S = 4.0
TRANSACTION_S = 10.0
"""Shorter than the RFC's 64·T1: a rehearsal does not wait half a minute for a dead server."""
ANSWER_S = 10.0
_INBOX = 64
"""Messages of one call not yet looked at; full: dropped, as UDP may at any time."""


class SipState(Enum):
    """Where a call is."""

    IDLE = auto()
    CALLING = auto()
    UP = auto()
    OVER = auto()


@dataclass(frozen=True, slots=True)
class SipPlan:
    """What the callers do."""

    target: str
    """sip:1001@127.0.0.1:5060"""
    calls: int
    seconds: float
    weather: Weather = field(default_factory=Weather)
    name: str = "caller"
    """The callers are NAME0, NAME1, …"""


class SipSocket(asyncio.DatagramProtocol):
    """The one UDP socket of all callers; hands each datagram to its call by Call-ID."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._calls: dict[str, Callable[[SipMessage], None]] = {}

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            message = parse(data)
        except ValueError:
            return  # keep-alives and noise
        if handle := self._calls.get(message.first("call-id")):
            handle(message)

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def listen(self, call_id: str, handle: Callable[[SipMessage], None]) -> None:
        """Hand the messages of ``call_id`` to ``handle``."""
        self._calls[call_id] = handle

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        if self._transport is not None:
            self._transport.sendto(data, to)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class SipCall:
    """One caller: a dialog and its RTP."""

    def __init__(self, plan: SipPlan, number: int, lines: list[Line], sip: SipSocket) -> None:
        self._sip = sip
        self._host = ip_towards(address_of(plan.target)[0])
        self._number = number
        self._user = f"{plan.name}{number}"
        self._call_id = f"{secrets.token_hex(8)}@{self._host}"
        self._from = f"<sip:{self._user}@{self._host}:{sip.port}>;tag={secrets.token_hex(4)}"
        self._to = f"<{plan.target}>"
        self._route: list[str] = []
        self._remote_uri = plan.target
        self._cseq = 0
        self._branch = ""
        self._state = SipState.IDLE
        self._error = ""
        self._inbox: asyncio.Queue[SipMessage] = asyncio.Queue(_INBOX)
        self._rtp = RtpStream(plan.weather, number, self._host)
        self._arrivals_s: deque[float] = deque()
        self.conversation = Conversation(lines, FRAME_BYTES, number)
        sip.listen(self._call_id, self._message)

    @property
    def state(self) -> SipState:
        return self._state

    def press(self, key: str, duration_ms: int = 120) -> None:
        """Press a key (RFC 4733)."""
        self._rtp.press(key, duration_ms)

    async def connect(self) -> None:
        """INVITE, ACK; not answered in 10 s: CANCEL. What goes wrong stands in the report."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._rtp.fileno(), self._packet)
        self._state = SipState.CALLING
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._invite()
        except TimeoutError:
            await self._cancel()
            self._fail("not answered in time")
        except ValueError as e:
            self._fail(str(e))

    def tick(self) -> None:
        """Send the frame that is due now."""
        if self._state is SipState.UP:
            now_s = time.monotonic()
            self._rtp.send(self.conversation.next_frame(now_s))

    async def hang_up(self) -> CallReport:
        """BYE, and the report."""
        if self._state is SipState.UP:
            self._state = SipState.OVER
            try:
                async with asyncio.timeout(TRANSACTION_S):
                    answer = await self._transact("BYE")
                if answer.status >= 300:
                    self._fail(f"BYE was answered {answer.status}")
            except TimeoutError:
                self._fail("BYE was not answered")
        asyncio.get_running_loop().remove_reader(self._rtp.fileno())
        self._rtp.close()
        frames = lateness(list(self._arrivals_s))
        lost = self._rtp.lost
        return CallReport(self._number, self.conversation, frames, self._error, lost)

    async def _invite(self) -> None:
        answer = await self._transact("INVITE", offer(self._host, self._rtp.port))
        self._to = answer.first("to")
        if answer.status >= 300:
            self._acknowledge(answer)
            self._fail(f"INVITE was answered {answer.status}")
            return
        self._remote_uri = uri_of(answer.first("contact"))
        self._route = routes(answer.headers.get("record-route", []))[::-1]
        self._acknowledge(answer)
        self._rtp.remote = media_address(answer.body)
        self._state = SipState.UP
        self.conversation.answered(time.monotonic())

    async def _cancel(self) -> None:
        """Take back an INVITE that nobody answered: same branch, same CSeq (RFC 3261 §9.1)."""
        if self._state is SipState.CALLING:
            self._state = SipState.OVER
            self._send("CANCEL", self._cseq, "", self._branch)
            await asyncio.sleep(T1_S / 5)

    async def _transact(self, method: str, body: str = "") -> SipMessage:
        """Send a request, again until it is answered, and wait for its final response."""
        self._cseq += 1
        self._branch = f"z9hG4bK{secrets.token_hex(6)}"
        wait_s, provisional = T1_S, False
        self._send(method, self._cseq, body, self._branch)
        while True:
            try:
                async with asyncio.timeout(None if provisional else wait_s):
                    answer = await self._inbox.get()
            except TimeoutError:
                wait_s = min(2 * wait_s, T2_S)
                self._send(method, self._cseq, body, self._branch)
                continue
            if answer.cseq != (self._cseq, method):
                continue
            if answer.status >= 200:
                return answer
            provisional = method == "INVITE"

    def _acknowledge(self, answer: SipMessage) -> None:
        """ACK: of a 2xx a request of its own, of a refusal part of the INVITE's transaction."""
        number, _ = answer.cseq
        branch = self._branch if answer.status >= 300 else f"z9hG4bK{secrets.token_hex(6)}"
        self._send("ACK", number, "", branch)

    def _send(self, method: str, cseq: int, body: str, branch: str) -> None:
        own = f"{self._host}:{self._sip.port}"
        headers = [
            ("Via", f"SIP/2.0/UDP {own};branch={branch};rport"),
            ("Max-Forwards", "70"),
            *(("Route", route) for route in self._route),
            ("From", self._from),
            ("To", self._to),
            ("Call-ID", self._call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:{self._user}@{own}>"),
            ("User-Agent", "ivr-rehearsal"),
        ]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        next_hop = uri_of(self._route[0]) if self._route else self._remote_uri
        self._sip.send(request(method, self._remote_uri, headers, body), address_of(next_hop))

    def _message(self, message: SipMessage) -> None:
        if message.status:
            repeated = message.cseq[1] == "INVITE" and self._state in (SipState.UP, SipState.OVER)
            if repeated and message.status >= 200:
                self._acknowledge(message)  # our ACK was lost
            elif not self._inbox.full():
                self._inbox.put_nowait(message)
            return
        if message.method == "ACK":
            return
        known = message.method in ("BYE", "OPTIONS", "INFO", "UPDATE")
        status = (200, "OK") if known else (501, "Not Implemented")
        self._sip.send(response(message, *status, []), self._back(message))
        if message.method == "BYE":
            self._state = SipState.OVER
            self._fail("the agent hung up")

    def _back(self, message: SipMessage) -> tuple[str, int]:
        """Where the top Via of a request says that its response goes."""
        sent_by = message.first("via").split(",")[0].split(";")[0].split()[-1]
        return address_of(f"sip:{sent_by}")

    def _packet(self) -> None:
        if (received := self._rtp.receive()) is None:
            return
        pcm, at_s = received
        if self._state in (SipState.CALLING, SipState.UP):  # a telephone plays early media too
            self.conversation.heard(pcm, at_s)
        if self._state is SipState.UP:
            self._arrivals_s.append(at_s)

    def _fail(self, error: str) -> None:
        self._error = self._error or error


async def rehearse_sip(
    plan: SipPlan,
    lines: list[Line],
    watch: Watch = lambda turns, since_s: None,
    stop: asyncio.Event | None = None,
) -> Rehearsal:
    """Place ``plan.calls`` SIP calls that say ``lines``, talk for ``plan.seconds`` or until
    ``stop``, hang up."""
    loop = asyncio.get_running_loop()
    _, sip = await loop.create_datagram_endpoint(SipSocket, local_addr=("0.0.0.0", 0))
    try:
        calls = [SipCall(plan, number, lines, sip) for number in range(plan.calls)]
        return await rehearse(calls, plan.seconds, watch, stagger_s=5 * FRAME_S, stop=stop)
    finally:
        sip.close()
