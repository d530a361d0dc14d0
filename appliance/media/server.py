"""The one way into a worker: the stream websocket, and the datagrams back.

picows calls back once a message, on the event loop, with no task and no queue in between: at 50
messages a second and call this is the hottest path of the appliance.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import orjson
import picows

from appliance.errors import ProtocolError
from appliance.events import (
    AnsweredBy,
    Dtmf,
    Hangup,
    Hold,
    Offer,
    Summary,
    Transfer,
    TransferFailed,
    Typed,
    Whisper,
)
from appliance.media import protocol, token
from appliance.media.watcher import WATCH_ID, Watched, Watcher
from appliance.metrics.exposition import CONTENT_TYPE
from appliance.seldom import Seldom

log = logging.getLogger(__name__)

OFFER_TIMEOUT_S = 2.0
LARGEST_MESSAGE_BYTES = 16 * 1024
SEND_BUFFER_BYTES = 1 << 20
"""The worker's one playback socket serves every call; 100 frames of 640 bytes fit many times."""
CLEAN_CLOSES = frozenset({picows.WSCloseCode.OK, picows.WSCloseCode.GOING_AWAY})
"""mod_audio_stream closes with the channel: who hung up was the caller."""


class Caller(Protocol):
    """What a stream hands its messages to: the live call."""

    def on_audio(self, frame: bytes) -> None:
        """A 20 ms L16 frame from the caller."""

    def on_dtmf(self, key: Dtmf) -> None:
        """A key was pressed."""

    def on_hangup(self, cause: str) -> None:
        """The caller, or the edge, ended the call; nothing more will come."""

    def on_transfer_failed(self, cause: str) -> None:
        """Nobody took the transferred call: the caller is ours again."""

    def on_hold(self, on: bool) -> None:
        """The far end holds the line, or is back."""

    def on_whisper(self, text: str) -> None:
        """A supervisor tells the agent something."""

    def on_typed(self, text: str) -> None:
        """Somebody who tries the agent writes a whole turn in place of saying it."""


class Door(Watched, Protocol):
    """Who decides whether a call may come in."""

    def refusal(self, call_id: str, part: int = 0) -> str:
        """Why a call may not come in now (full, draining, known already), or an empty string.
        Asked at the upgrade, where its part is not known yet, and again at the offer."""

    def admit(self, offer: Offer, stream: Stream) -> Caller:
        """Take the call."""

    def health(self) -> dict[str, object]:
        """The body of ``GET /health``."""

    def holds(self, call_id: str) -> bool:
        """Whether this call is live here: ``GET /health?call=ID``, for an edge that was away."""


class Stream(picows.WSListener):
    """One call's websocket; also its way back: control messages and playback."""

    def __init__(self, call_id: str, door: Door, playback: socket.socket) -> None:
        super().__init__()
        self._call_id = call_id
        self._door = door
        self._playback = playback
        self._protocol = protocol.StreamProtocol(call_id)
        self._transport: picows.WSTransport | None = None
        self._caller: Caller | None = None
        self._address: tuple[str, int] | None = None
        self._refused = 0
        self._cause = ""
        self._offer_timer: asyncio.TimerHandle | None = None
        self._disconnected = asyncio.Event()

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._offer_timer = loop.call_later(OFFER_TIMEOUT_S, self._offer_late)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        try:
            if kind == picows.WSMsgType.BINARY:
                for pcm in self._protocol.receive_binary(frame.get_payload_as_bytes()):
                    if self._caller is not None:
                        self._caller.on_audio(pcm)
            elif kind == picows.WSMsgType.TEXT:
                self._take(self._protocol.receive_text(frame.get_payload_as_bytes()))
            elif kind == picows.WSMsgType.CLOSE:
                if frame.get_close_code() in CLEAN_CLOSES:
                    self._cause = self._cause or "NORMAL_CLEARING"
                transport.send_close(picows.WSCloseCode.OK)
                transport.disconnect()
        except ProtocolError as e:
            self._refuse(str(e))

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._cancel_timer()
        self._transport = None
        self._disconnected.set()
        caller, self._caller = self._caller, None
        if caller is not None:
            caller.on_hangup(self._cause or "NETWORK_OUT_OF_ORDER")

    def play(self, frame: bytes) -> None:
        """Send one 20 ms frame to the caller."""
        assert self._address is not None
        try:
            self._playback.sendto(frame, self._address)
        except OSError:
            pass  # the edge has gone, or cannot be reached: the frame's moment has passed

    def answer(self) -> None:
        """Tell the edge to answer the call."""
        self._send(protocol.answer())

    def hang_up(self, cause: str) -> None:
        """Tell the edge to end the call once it has played what it was sent."""
        self._send(protocol.hangup(cause))

    def transfer(self, value: Transfer) -> None:
        """Ask the edge to connect the caller to a person."""
        self._send(protocol.transfer(value))

    def summarise(self, value: Summary) -> None:
        """Give the edge a better summary for the transfer under way."""
        self._send(protocol.summary(value))

    def answered_by(self, value: AnsweredBy) -> None:
        """Tell the edge who has answered a call that we made."""
        self._send(protocol.answered_by(value))

    async def closed(self, timeout_s: float) -> None:
        """Wait for the edge to close the websocket, which it does once the call has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._disconnected.wait()

    def close(self) -> None:
        """Close the websocket."""
        if self._transport is not None:
            self._transport.send_close(picows.WSCloseCode.OK)
            self._transport.disconnect()

    def let_go(self) -> None:
        """Have no more to do with the edge: it has gone on with the call elsewhere."""
        transport, self._transport, self._caller = self._transport, None, None
        if transport is not None:
            transport.disconnect(graceful=False)  # it may hang: then this would never end

    def _send(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.send(picows.WSMsgType.TEXT, message)

    def _take(self, event: Offer | protocol.ControlEvent) -> None:
        if isinstance(event, Offer):
            self._cancel_timer()
            if why := self._door.refusal(
                event.call_id, event.part
            ):  # others came in since the upgrade
                log.warning("! refused: %s", why, extra={"call": self._call_id})
                self._dismiss(picows.WSCloseCode.TRY_AGAIN_LATER)
                return
            self._address = event.playback
            self._caller = self._door.admit(event, self)
        elif self._caller is not None:
            self._tell(self._caller, event)

    def _tell(self, caller: Caller, event: protocol.ControlEvent) -> None:
        match event:
            case Dtmf():
                caller.on_dtmf(event)
            case TransferFailed():
                caller.on_transfer_failed(event.cause)
            case Hold():
                caller.on_hold(event.on)
            case Whisper():
                caller.on_whisper(event.text)
            case Typed():
                caller.on_typed(event.text)
            case Hangup():
                self._cause, self._caller = event.cause, None
                caller.on_hangup(event.cause)

    def _refuse(self, why: str) -> None:
        """Drop what broke the protocol; one line a call, for a broken peer repeats itself."""
        self._refused += 1
        if self._refused == 1:
            log.warning("! refused: %s", why, extra={"call": self._call_id})
        if not self._protocol.offered:
            self._dismiss(picows.WSCloseCode.POLICY_VIOLATION)

    def _offer_late(self) -> None:
        log.warning("! refused: no offer came", extra={"call": self._call_id})
        self._dismiss(picows.WSCloseCode.POLICY_VIOLATION)

    def _dismiss(self, code: picows.WSCloseCode) -> None:
        if self._transport is not None:
            self._transport.send_close(code)
            self._transport.disconnect()

    def _cancel_timer(self) -> None:
        if self._offer_timer is not None:
            self._offer_timer.cancel()


class MediaServer:
    """Listens for streams on ``host:port``; every accepted one becomes a call at the door."""

    def __init__(
        self,
        door: Door,
        secret: str,
        clock: Callable[[], float] = time.time,
        metrics: Callable[[str], bytes | None] = lambda authorization: None,
    ) -> None:
        """``metrics``: the answer to ``GET /metrics`` for that ``Authorization``; None: 401."""
        self._metrics = metrics
        self._door = door
        self._secret = secret
        self._seldom = Seldom(time.monotonic)
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._playback = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._playback.setblocking(False)
        self._playback.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    async def start(self, host: str, port: int) -> int:
        """Begin to listen; returns the port (useful when ``port`` is 0)."""
        self._server = await picows.ws_create_server(
            self._accept,
            host,
            port,
            max_frame_size=LARGEST_MESSAGE_BYTES,
            websocket_handshake_timeout=OFFER_TIMEOUT_S,
            disconnect_on_exception=True,
        )
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening; live streams go on."""
        if self._server is not None:
            self._server.close()
        self._playback.close()

    def _accept(
        self, request: picows.WSUpgradeRequest
    ) -> picows.WSListener | picows.WSUpgradeResponseWithListener | None:
        path = request.path.partition(b"?")[0]
        if path == b"/health":
            health = self._door.health()
            _, _, call_id = request.path.partition(b"?call=")
            if call_id:
                health |= {"holds": self._door.holds(call_id.decode("ascii", "replace"))}
            return _respond(200 if health["status"] == "ok" else 503, health)
        if path == b"/metrics":
            told = self._metrics(request.headers.get("Authorization", ""))
            if told is None:
                return _respond(401, {"error": "The bearer token is missing or wrong."})
            return _plain(told)
        if path not in (b"/call", b"/watch"):
            return None
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        known = token.check(self._secret, credential, self._clock())
        if scheme != "Bearer" or known is None:
            text = "! refused a stream: its token is missing, wrong or expired"
            self._seldom.warn(log, "token", text)
            return _respond(401, {"error": "The call token is missing, wrong or expired."})
        if path == b"/watch":
            return Watcher(self._door) if known == WATCH_ID else None
        if why := self._door.refusal(known):
            log.warning("! refused a stream: %s", why, extra={"call": known})
            return _respond(503, {"error": why})
        return Stream(known, self._door, self._playback)


def _plain(text: bytes) -> picows.WSUpgradeResponseWithListener:
    headers = {"Content-Type": CONTENT_TYPE}
    response = picows.WSUpgradeResponse.create_ok_response(text, headers)
    return picows.WSUpgradeResponseWithListener(response, None)


def _respond(status: int, body: dict[str, object]) -> picows.WSUpgradeResponseWithListener:
    payload, headers = orjson.dumps(body), {"Content-Type": "application/json"}
    if status == 200:
        response = picows.WSUpgradeResponse.create_ok_response(payload, headers)
    else:
        response = picows.WSUpgradeResponse.create_error_response(status, payload, headers)
    return picows.WSUpgradeResponseWithListener(response, None)
