"""N simultaneous callers on the worker's media websocket (docs/wires.md §1).

Each sends a 20 ms frame on a schedule that never drifts, takes the agent's datagrams with the
kernel's time stamps, and leads one :class:`~bench.conversation.Conversation`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import time
import uuid
from collections import deque
from dataclasses import dataclass

import orjson
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from appliance.audio import frame_bytes
from appliance.engines.emulated_script import Script
from appliance.rehearsal.calls import STAGGER_S, CallReport, Rehearsal, Watch, lines_for, rehearse
from appliance.rehearsal.clock import arrival_s, stamped_socket
from appliance.rehearsal.conversation import FRAME_S, Conversation, Line
from appliance.rehearsal.lateness import lateness

TOKEN_LIFE_S = 60
CONNECT_S = 5
ANSWER_S = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What the callers do."""

    url: str
    """ws://host:port of the worker, or of anything that speaks its protocol."""
    secret: str
    script: Script
    calls: int
    seconds: float
    did: str = "1001"
    rate_hz: int = 8000
    barge_ins: bool = True
    stagger_s: float = STAGGER_S
    """Between two calls that are placed."""


def token(call_id: str, secret: str, expiry_s: int) -> str:
    """The bearer token of one call."""
    body = f"v1.{call_id}.{expiry_s}"
    return f"{body}.{hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()}"


class Playback:
    """Where one call's datagrams arrive, with the time at which the kernel received each."""

    def __init__(self) -> None:
        self._socket = stamped_socket()

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> tuple[bytes, float] | None:
        """One datagram and its arrival on the monotonic clock; None when there is none."""
        try:
            pcm, ancillary, _, _ = self._socket.recvmsg(2048, 64)
        except (BlockingIOError, ConnectionError):
            return None
        return pcm, arrival_s(ancillary)

    def close(self) -> None:
        self._socket.close()


class WsCall(WSListener):
    """One caller: a websocket to the worker and a socket for the agent's audio."""

    def __init__(self, plan: Plan, number: int, lines: list[Line]) -> None:
        self._plan = plan
        self._number = number
        self._frame_bytes = frame_bytes(plan.rate_hz)
        self._transport: WSTransport | None = None
        self._playback = Playback()
        self._arrivals_s: list[float] = []
        self._buffer: deque[tuple[float, bytes]] = deque()
        self._buffered_until_s = 0.0
        self._error = ""
        self._up = False
        self._ended = False
        self.conversation = Conversation(lines, self._frame_bytes, number)
        self.answered = asyncio.get_running_loop().create_future()

    async def connect(self) -> None:
        """Call the worker and wait until it answers; what goes wrong stands in the report."""
        call_id = str(uuid.uuid4())
        bearer = token(call_id, self._plan.secret, int(time.time()) + TOKEN_LIFE_S)
        offer = {
            "call_id": call_id,
            "did": self._plan.did,
            "caller": f"+91980000{self._number:04d}",
            "rate": self._plan.rate_hz,
            "playback": self._playback.address,
        }
        loop = asyncio.get_running_loop()
        loop.add_reader(self._playback.fileno(), self._datagram)
        try:
            self._transport, _ = await ws_connect(
                lambda: self,
                self._plan.url + "/call",
                extra_headers={"Authorization": f"Bearer {bearer}"},
                websocket_handshake_timeout=CONNECT_S,
            )
            self._transport.send(WSMsgType.TEXT, orjson.dumps(offer))
            async with asyncio.timeout(ANSWER_S):
                await self.answered
        except TimeoutError:
            self._error = self._error or "not answered in time"
        except Exception as e:  # the border of one call: any refusal is its result
            self._error = f"{type(e).__name__}: {e}"

    def tick(self) -> None:
        """Send the frame that is due now."""
        if not self._up or self._transport is None:
            return
        now_s = time.monotonic()
        self._play(now_s)
        self._transport.send(WSMsgType.BINARY, self.conversation.next_frame(now_s))

    async def hang_up(self) -> CallReport:
        """End the call and report."""
        self._up, self._ended = False, True
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send(WSMsgType.TEXT, b'{"type":"hangup","cause":"NORMAL_CLEARING"}')
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._transport.wait_disconnected()
        asyncio.get_running_loop().remove_reader(self._playback.fileno())
        self._playback.close()
        return CallReport(self._number, self.conversation, lateness(self._arrivals_s), self._error)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            self._chunk(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.TEXT:
            kind = orjson.loads(frame.get_payload_as_bytes()).get("type")
            if kind == "answer" and not self.answered.done():
                self._up = True
                self.conversation.answered(time.monotonic())
                self.answered.set_result(None)
            elif kind == "clear":
                self._buffer.clear()
                self._buffered_until_s = 0.0
            elif kind == "hangup":
                self._error = self._error or "the agent hung up"
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self._ended:
            self._error = self._error or "the worker closed the websocket"
        self._up = False
        if not self.answered.done():
            self.answered.set_result(None)

    def _datagram(self) -> None:
        if (received := self._playback.receive()) is None:
            return
        pcm, at_s = received
        self._arrivals_s.append(at_s)
        if len(pcm) != self._frame_bytes:
            self._error = self._error or f"a datagram of {len(pcm)} bytes"
            return
        self.conversation.heard(pcm, at_s)

    def _chunk(self, pcm: bytes) -> None:
        """Audio on the websocket: heard when it comes, or after what came before it."""
        due_s = max(time.monotonic(), self._buffered_until_s)
        for at in range(0, len(pcm), self._frame_bytes):
            self._buffer.append((due_s, pcm[at : at + self._frame_bytes]))
            due_s += FRAME_S
        self._buffered_until_s = due_s
        self._play(time.monotonic())

    def _play(self, now_s: float) -> None:
        """Hear what is due of the audio that came on the websocket."""
        while self._buffer and self._buffer[0][0] <= now_s:
            due_s, pcm = self._buffer.popleft()
            self.conversation.heard(pcm, due_s)


async def rehearse_ws(plan: Plan, watch: Watch = lambda turns, since_s: None) -> Rehearsal:
    """Place ``plan.calls`` calls on the websocket, talk for ``plan.seconds``, hang up."""
    lines = lines_for(plan.script, plan.rate_hz, barge_ins=plan.barge_ins)
    calls = [WsCall(plan, number, lines) for number in range(plan.calls)]
    return await rehearse(calls, plan.seconds, watch, plan.stagger_s)
