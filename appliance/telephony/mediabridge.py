"""One call's way to a worker: its websocket (docs/wires.md §1) and the datagrams played back.

Runs on the event loop, but for ``take`` and ``give``, which the bridge's thread calls every 20 ms.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp
from picows import WSCloseCode, WSMsgType, WSTransport

from appliance.audio import FRAME_MS, frame_bytes
from appliance.events import Dtmf, Hangup, Offer, Transfer, TransferFailed
from appliance.media import protocol
from appliance.media.workerlink import NO_TRANSFERS, WorkerRefused, ask_health, reach
from appliance.telemetry import CallLog
from appliance.telephony.playbuffer import PlayBuffer

LOOPBACK = "127.0.0.1"
HEALTH_TIMEOUT_S = 0.3
CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 5.0
"""From the offer to the worker's ``answer``; then the next worker, or 503."""
SEARCH_TIMEOUT_S = 8.0
"""All workers together; a caller's INVITE waits no longer."""
DRAIN_TIMEOUT_S = 1.0
TAIL_MS = 140
"""After the last frame was played: the caller's own jitter buffer empties before BYE."""
STRAY_MS = 20
"""Datagrams and the websocket are two roads: the last frame may come after ``hangup``."""
DATAGRAM_BYTES = 2048
READS_PER_FRAME = 64
"""Datagrams taken in one 20 ms tick at most, so a flood cannot hold the bridge's thread."""
SOCKET_BUFFER_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls whom, as SIP said it."""

    call_id: str
    did: str
    caller: str
    rate_hz: int
    peer: str = ""
    """IP address that their SIP came from."""


Ended = Callable[[str, bool], None]
"""``ended(cause, clean)`` on the loop, once, when the worker ends the call or its websocket breaks."""


async def order_workers(urls: Sequence[str]) -> list[str]:
    """Worker URLs, least busy first by GET /health; full, draining and silent ones last."""
    if len(urls) == 1:
        return list(urls)
    async with aiohttp.ClientSession() as http:
        said = await asyncio.gather(*(ask_health(http, url, HEALTH_TIMEOUT_S) for url in urls))
    loads = [
        health.calls / health.capacity if health and health.takes_calls else float("inf")
        for health in said
    ]
    return [url for _, _, url in sorted(zip(loads, range(len(urls)), urls, strict=True))]


class MediaBridge:
    """Carries one call between pjsua2's port and a worker. Made on the loop, ``close`` ends it."""

    def __init__(self, caller: Caller, secret: str, ended: Ended) -> None:
        self.caller = caller
        self._secret = secret
        self._ended = ended
        self._log = CallLog(__name__, caller.call_id)
        self._loop = asyncio.get_running_loop()
        self._buffer = PlayBuffer(frame_bytes(caller.rate_hz))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        self._socket.setblocking(False)
        self._socket.bind((LOOPBACK, 0))
        self._transport: WSTransport | None = None
        self._closed = False
        self.congested = False
        """The worker's websocket buffer is full; set by its listener."""
        self._frames_out = 0
        self._lost_out = 0

    async def connect(self, urls: Sequence[str]) -> None:
        """Offer the call to the workers, least busy first, until one answers.

        Raises WorkerRefused when none does within SEARCH_TIMEOUT_S.
        """
        trouble = "no worker is configured"
        try:
            async with asyncio.timeout(SEARCH_TIMEOUT_S):
                for url in await order_workers(urls):
                    try:
                        await self._offer(url)
                        return
                    except WorkerRefused as e:
                        trouble = f"{url}: {e}"
                        self._log.warning("! worker %s", trouble)
        except TimeoutError:
            trouble = f"no worker answered within {SEARCH_TIMEOUT_S:.0f} s"
        raise WorkerRefused(trouble)

    async def _offer(self, url: str) -> None:
        caller = self.caller
        link = await reach(self, url, caller.call_id, self._secret, CONNECT_TIMEOUT_S)
        await link.offer(self._offer_text(), ANSWER_TIMEOUT_S)
        self._transport = link.transport
        self._log.info("= answered by %s at %d Hz", url, caller.rate_hz)

    def _offer_text(self) -> bytes:
        caller, (host, port) = self.caller, self._socket.getsockname()
        did, number = caller.did.replace(" ", ""), caller.caller.replace(" ", "")
        return protocol.offer(Offer(caller.call_id, did, number, caller.rate_hz, (host, port)))

    # -- on the bridge's thread ----------------------------------------------------------------

    def take(self) -> bytes:
        """The next 20 ms for the caller. The socket's own buffer is the queue between threads."""
        try:
            for _ in range(READS_PER_FRAME):
                self._buffer.push(self._socket.recv(DATAGRAM_BYTES))
        except OSError:  # BlockingIOError: all read; EBADF: closed in this moment
            pass
        return self._buffer.pop()

    def give(self, frame: bytes) -> None:
        """20 ms that the caller said."""
        self._loop.call_soon_threadsafe(self._send_frame, frame)

    # -- on the loop ---------------------------------------------------------------------------

    def _send_frame(self, frame: bytes) -> None:
        if self._transport is None or self._closed:
            return
        if self.congested:
            self._lost_out += 1  # the worker does not read; what it gets later must not be old
            return
        self._transport.send(WSMsgType.BINARY, frame)
        self._frames_out += 1

    def press(self, key: Dtmf) -> None:
        """Tell the worker of a key."""
        self._send_text(protocol.dtmf(key))

    def close(self, hangup: Hangup) -> None:
        """The call is over on the SIP side: tell the worker, close everything, log the figures."""
        if self._closed:
            return
        self._send_text(protocol.hangup(hangup.cause))
        self._closed = True
        if self._transport:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()
        self._socket.close()
        buffer = self._buffer
        self._log.info(
            "= media over: %d ms in (%d frames lost), late %d, dropped %d, wrong size %d",
            self._frames_out * FRAME_MS,
            self._lost_out,
            buffer.underruns,
            buffer.dropped,
            buffer.wrong_size,
        )

    async def play_out(self) -> None:
        """Wait until what has come is played and has left the caller's own buffer."""
        await asyncio.sleep(STRAY_MS / 1000)
        left = self._buffer.waiting + 1
        await asyncio.sleep(min(left * FRAME_MS / 1000, DRAIN_TIMEOUT_S) + TAIL_MS / 1000)

    def worker_said(self, message: protocol.WorkerEvent | None) -> None:
        """A text message of the worker after its ``answer``. A SIP endpoint of our own connects to
        nobody: whoever asks for a transfer is told so at once."""
        if isinstance(message, Hangup):
            self._finish(message.cause, True)
        elif isinstance(message, Transfer):
            self._log.info("> no transfer here: `ivr switch` makes them")
            self._send_text(protocol.transfer_failed(TransferFailed(NO_TRANSFERS)))

    def worker_gone(self) -> None:
        """The worker's websocket closed or broke."""
        if self._transport and not self._closed:
            self._log.warning("! the worker's websocket broke")
            self._finish("NORMAL_TEMPORARY_FAILURE", False)

    def _finish(self, cause: str, clean: bool) -> None:
        if not self._closed:
            ended, self._ended = self._ended, _nothing
            ended(cause, clean)

    def _send_text(self, message: bytes) -> None:
        if self._transport and not self._closed:
            self._transport.send(WSMsgType.TEXT, message)


def _nothing(cause: str, clean: bool) -> None:
    """Stands in for ``ended`` after it was called."""
