"""The stand-in's mod_audio_stream: a real websocket client from a channel to its worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable

import aiohttp

Tell = Callable[[str, str], None]
"""Gets the event's last word (``connect``, ``json``, ``error``, ``disconnect``) and its body."""
CONNECT_TIMEOUT_S = 5.0
ABNORMAL = 1006
MOST_FRAMES = 500
"""Frames that the worker's socket does not take, 10 s; then the oldest goes."""


class Stream:
    """From ``start`` to ``stop``; ``gone`` is called when the module takes it off the channel."""

    def __init__(
        self, url: str, headers: str, metadata: str, tell: Tell, gone: Callable[[], None]
    ) -> None:
        self._url = url
        self._headers = _text_values(headers)
        self._metadata = metadata
        self._tell, self._gone = tell, gone
        self._out: deque[bytes | str] = deque(maxlen=MOST_FRAMES)
        self._some = asyncio.Event()
        self._open = False
        self._stopping = False
        self._task = asyncio.create_task(self._run())

    def audio(self, pcm: bytes) -> None:
        """20 ms of the caller; dropped while there is no connection."""
        if self._open:
            self._put(pcm)

    def text(self, message: str) -> None:
        """``send_text``: says nothing when the worker has closed."""
        if self._open:
            self._put(message)

    async def stop(self) -> None:
        """Close with 1000; no event follows."""
        self._stopping = True
        self._some.set()
        if not self._open:
            self._task.cancel()
        await asyncio.wait({self._task}, timeout=CONNECT_TIMEOUT_S)

    def _put(self, message: bytes | str) -> None:
        self._out.append(message)
        self._some.set()

    async def _run(self) -> None:
        # no total timeout: a call may be long
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=limits) as session:
            try:
                socket = await session.ws_connect(
                    self._url, headers=self._headers, autoclose=True, max_msg_size=0
                )
            except aiohttp.WSServerHandshakeError:
                self._refused("WebSocket upgrade failed")
                return
            except (aiohttp.ClientError, OSError):
                self._refused("Connection refused (system error 111)")
                return
            self._open = True
            if self._metadata:
                await socket.send_str(self._metadata)
            self._tell("connect", '{"status":"connected"}')
            sender = asyncio.create_task(self._send(socket))
            try:
                await self._receive(socket)
            finally:
                self._open = False
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
                await socket.close()

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            while self._out and not socket.closed:
                message = self._out.popleft()
                with contextlib.suppress(ConnectionError):
                    if isinstance(message, str):
                        await socket.send_str(message)
                    else:
                        await socket.send_bytes(message)
            if self._stopping:
                await socket.close(code=1000)
                return

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._tell("json", message.data)
            # binary messages are taken and dropped
        if self._stopping:
            return
        code = socket.close_code
        if code in (None, ABNORMAL):
            self._tell(
                "error", _error(1, "Connection closed without WebSocket CLOSE (abnormal EOF)")
            )
            self._gone()
        else:  # the bug stays on the channel
            reason = {"code": code, "reason": ""}
            self._tell("disconnect", _json({"status": "disconnected", "message": reason}))

    def _refused(self, why: str) -> None:
        if not self._stopping:
            self._tell("error", _error(6, why))
            self._gone()


def _text_values(headers: str) -> dict[str, str]:
    try:
        found = json.loads(headers or "{}")
    except ValueError:
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _error(code: int, text: str) -> str:
    return _json({"status": "error", "message": {"code": code, "error": text}})


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
