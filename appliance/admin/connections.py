"""One connection of a browser, or of somebody who only holds it open.

uvicorn waits for ever for the first line of a request, and takes headers of any size. Before anybody
has logged in that is all that an attacker needs (Slowloris; RFC 9112 §9.5 lets a server close what is
idle), so each connection has a time and a size for its headers, and an address has so many of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from appliance.admin.rates import site_of

HEAD_S = 15.0
"""From the connection, or from the first byte of a further request, to the end of its headers."""
LARGEST_HEAD_BYTES = 32 * 1024
"""Line and headers of one request; browsers send 2 KB, proxies allow 8 KB."""
MOST_OF_ONE_ADDRESS = 200
"""Connections at once, websockets apart: a browser has 6. More are closed at once."""


class Connection(HttpToolsProtocol):
    """uvicorn's own (it must be a parent: uvicorn has no other way in), which does not wait for ever.

    ``of_address``: how many there are of each address, shared by all; None behind a proxy, whose
    address is everybody's.
    """

    def __init__(self, of_address: Counter[str] | None, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._of_address = of_address
        self._counted = ""
        self._waiting: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()
        if self._of_address is not None and self.client:
            self._counted = site_of(self.client[0])
            self._of_address[self._counted] += 1
            if self._of_address[self._counted] > MOST_OF_ONE_ADDRESS:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            # what comes with the last piece may be of the body: judged by what came before it
            if self._head_bytes - len(data) > LARGEST_HEAD_BYTES:
                self.transport.close()
                return
        if self._waiting is None and (self._in_head or self._is_idle()):
            self._wait()  # a further request has begun, or the rest of one that is answered already
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def handle_websocket_upgrade(self) -> None:
        self._leave()  # this object hears no more of the connection
        super().handle_websocket_upgrade()

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_S, self._give_up)

    def _give_up(self) -> None:
        self._waiting = None
        if self._is_idle():
            self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _leave(self) -> None:
        self._stop_waiting()
        if self._counted and self._of_address is not None:
            self._of_address[self._counted] -= 1
            if not self._of_address[self._counted]:
                del self._of_address[self._counted]
            self._counted = ""


def connections(*, behind_proxy: bool) -> Any:
    """What uvicorn makes connections with: ``Config(http=…)``."""
    return partial(Connection, None if behind_proxy else Counter())
