"""An edge's end of the stream websocket (docs/wires.md §1): how a worker is asked how it is, reached,
offered a call, and listened to. ``ivr sip`` and the console's test calls share it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from appliance.errors import ProtocolError
from appliance.events import Hangup
from appliance.media import protocol, token
from appliance.urls import http_of

log = logging.getLogger(__name__)

MAX_TEXT_BYTES = 4096
LARGEST_HEALTH_BYTES = 64 * 1024
NO_TRANSFERS = "FACILITY_NOT_IMPLEMENTED"
"""Q.850 cause 69: what an edge that connects to nobody else answers a transfer with."""
_UNANSWERED = (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError)


class WorkerRefused(Exception):
    """A worker did not take the call; the message says why."""


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """What a worker says of itself."""

    status: str
    """ok, starting or draining."""
    calls: int
    capacity: int

    @property
    def takes_calls(self) -> bool:
        return self.status == "ok" and self.calls < self.capacity


class EdgeCall(Protocol):
    """One call at an edge, as its link knows it. Called on the loop."""

    congested: bool
    """The worker does not read: what it gets later must not be old."""

    def worker_said(self, message: protocol.WorkerEvent | None) -> None:
        """A text message of the worker after its ``answer``."""

    def worker_gone(self) -> None:
        """Its websocket has closed or broken."""


async def ask_health(
    http: aiohttp.ClientSession, url: str, timeout_s: float
) -> WorkerHealth | None:
    """How the worker at ``url`` (ws://… or http://…) is; None: it does not say."""
    address, timeout = http_of(url) + "/health", aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with http.get(address, timeout=timeout, allow_redirects=False) as response:
            health = orjson.loads(await response.content.read(LARGEST_HEALTH_BYTES))
        return WorkerHealth(str(health["status"]), int(health["calls"]), int(health["capacity"]))
    except _UNANSWERED as e:
        log.debug("! %s does not say how it is: %s", address, type(e).__name__)
        return None


async def reach(
    call: EdgeCall, url: str, call_id: str, secret: str, timeout_s: float
) -> WorkerLink:
    """A websocket to the worker at ``url``, over which nothing was said yet.

    Raises WorkerRefused; its cause is what the websocket's library raised.
    """
    link = WorkerLink(call)
    key = token.make(secret, call_id, time.time())
    try:
        async with asyncio.timeout(timeout_s):
            await ws_connect(
                lambda: link,
                url.rstrip("/") + "/call",
                extra_headers={"Authorization": f"Bearer {key}"},
                max_frame_size=MAX_TEXT_BYTES,
            )
    except Exception as e:  # picows, OSError, TimeoutError: whatever it was, the next one
        link.give_up()
        raise WorkerRefused(f"cannot connect: {type(e).__name__}: {e}") from e
    return link


class WorkerLink(WSListener):
    """The websocket of one call; refuses to let one worker's words reach another's call."""

    def __init__(self, call: EdgeCall) -> None:
        self._call = call
        self._connected: WSTransport | None = None
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def transport(self) -> WSTransport:
        """Of a link that :func:`reach` has made."""
        assert self._connected is not None
        return self._connected

    async def offer(self, offer: bytes, timeout_s: float) -> None:
        """Make the offer and wait for ``answer``; without one the websocket is closed.

        Raises WorkerRefused.
        """
        try:
            self.transport.send(WSMsgType.TEXT, offer)
            async with asyncio.timeout(timeout_s):
                await self._answered
        except TimeoutError as e:
            self.give_up()
            raise WorkerRefused(f"it did not answer within {timeout_s:.0f} s") from e
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        """Nobody waits for its answer any more."""
        self._answered.cancel()
        if self._connected is not None:
            self._connected.disconnect(graceful=False)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._connected = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        try:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()
            elif frame.msg_type == WSMsgType.TEXT:
                self._text(protocol.control(frame.get_payload_as_bytes()))
        except ProtocolError as e:
            log.warning("! a worker's message was dropped: %s", e)
        except Exception:  # the border of a call: a bad message never ends it
            log.exception("! a worker's message was not handled")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self._answered.done():
            self._answered.set_exception(WorkerRefused("it closed before its answer"))
        elif not self._answered.cancelled() and self._answered.exception() is None:
            self._call.worker_gone()

    def pause_writing(self) -> None:
        self._call.congested = True

    def resume_writing(self) -> None:
        self._call.congested = False

    def _text(self, message: protocol.WorkerEvent | None) -> None:
        if self._answered.done():
            self._call.worker_said(message)
        elif message is None:
            self._answered.set_result(None)
        elif isinstance(message, Hangup):
            self._answered.set_exception(WorkerRefused(f"it refused: {message.cause}"))
