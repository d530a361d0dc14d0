"""The websocket to an external bot: opened by us, watched, and never waited for."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol

import picows

from appliance.addresses import is_for_operator, resolved
from appliance.errors import EngineError
from appliance.media.twilio import LONGEST_MESSAGE_BYTES

CONNECT_TIMEOUT_S = 3.0
PING_IDLE_S, PING_REPLY_S = 3.0, 3.0
"""A bot whose machine or process stands still is known as such within so long."""
MOST_UNSENT_BYTES = 256 * 1024
"""About 20 s of the caller's audio that the bot has not taken: it does not listen any more."""
NORMAL_CLOSES = frozenset({picows.WSCloseCode.OK, picows.WSCloseCode.NO_INFO})
"""With any other code (a crash, a restart) it is the bot that broke, not the call that is over."""


class Bot(Protocol):
    """What a link tells its call."""

    def on_bot_message(self, payload: bytes) -> None:
        """A text message came."""

    def on_bot_gone(self, why: str) -> None:
        """The websocket is closed: as a bot ends a call (``why`` is empty), or it broke."""


class BotLink(picows.WSListener):
    """One connection; tells of everything until it is closed by :meth:`close`, then of nothing."""

    def __init__(self, bot: Bot) -> None:
        super().__init__()
        self._bot: Bot | None = bot
        self._transport: picows.WSTransport | None = None
        self._parts = bytearray()
        self._why = "the connection broke"

    @classmethod
    async def open(cls, url: str, bot: Bot) -> BotLink:
        """Connect to ``url`` (no redirects). Raises EngineError within 3 s."""
        link = cls(bot)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await picows.ws_connect(
                    lambda: link,
                    url,
                    websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                    max_frame_size=LONGEST_MESSAGE_BYTES,
                    max_redirects=0,
                    socket_factory=_dialled,
                    enable_auto_ping=True,
                    auto_ping_idle_timeout=PING_IDLE_S,
                    auto_ping_reply_timeout=PING_REPLY_S,
                )
        except asyncio.CancelledError:
            link.close()
            raise
        except Exception as e:  # whatever a stranger's server, its name or its certificate raises
            link.close()
            raise EngineError("bot", f"cannot connect: {type(e).__name__}: {e!s:.200}") from e
        return link

    def send(self, message: bytes) -> None:
        """Send a text message; a bot that takes nothing any more is disconnected."""
        transport = self._transport
        if transport is None:
            return
        if transport.underlying_transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            self._why = "it does not take the caller's audio"
            transport.disconnect(graceful=False)
        else:
            transport.send(picows.WSMsgType.TEXT, message)

    def close(self) -> None:
        """Close the websocket; the bot is told, and we are told of nothing more."""
        self._bot = None
        if self._transport is not None:
            self._transport.send_close(picows.WSCloseCode.OK)
            self._transport.disconnect()

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind in (picows.WSMsgType.TEXT, picows.WSMsgType.CONTINUATION):
            self._take(transport, frame)
        elif kind == picows.WSMsgType.CLOSE:
            code = frame.get_close_code()
            self._why = "" if code in NORMAL_CLOSES else f"it closed with code {code:d}"
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._transport = None
        bot, self._bot = self._bot, None
        if bot is not None:
            bot.on_bot_gone(self._why)

    def _take(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        if not frame.fin or self._parts:
            self._parts += payload
            if len(self._parts) > LONGEST_MESSAGE_BYTES:
                self._why = "its message has no end"
                transport.disconnect(graceful=False)
                return
            if not frame.fin:
                return
            payload = bytes(self._parts)
            self._parts.clear()
        if self._bot is not None:
            self._bot.on_bot_message(payload)


async def _dialled(url: picows.url.WSParsedURL) -> socket.socket:
    """A socket that is connected to one of the host's addresses, the first that answers; the name is
    asked once, and what it says a moment later changes nothing. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await resolved(url.host, url.port, CONNECT_TIMEOUT_S)
    trouble = OSError(f"{url.host} may not be a bot's: it is at {found[0]}")
    for address in found:
        if not is_for_operator(address, url.host):
            continue
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        dialled = socket.socket(family, socket.SOCK_STREAM)
        dialled.setblocking(False)
        try:
            await loop.sock_connect(dialled, (str(address), url.port))
        except OSError as e:
            dialled.close()
            trouble = e
        except BaseException:
            dialled.close()
            raise
        else:
            return dialled
    raise trouble
