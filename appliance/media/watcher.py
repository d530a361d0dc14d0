"""Somebody who looks on: every call's events, and the few things they may ask for.

A message in is JSON, ``{"type": …}``: ``calls`` (name the live ones), ``follow`` (from now on only
these calls' words while they are being said), ``listen`` (these calls' sound), ``hangup`` and
``whisper`` (done, or refused with a reason). docs/wires.md §1.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

import orjson
import picows

log = logging.getLogger(__name__)

WATCH_ID = "watch"
"""What a watcher's token is made for, in place of a call id."""
WATCH_BUFFER_BYTES = 1 << 20
UNDER_WAY = frozenset({"partial", "final"})
"""Words before the turn is given; with it they come once more."""
MOST_NAMED = 2000
"""Calls that one watcher follows or listens to; more than a worker carries."""


class Watched(Protocol):
    """Whose calls are looked at."""

    def watch(self, watcher: Watcher) -> None:
        """Somebody wants to see what happens in the calls, live."""

    def unwatch(self, watcher: Watcher) -> None:
        """They have gone."""

    def name_calls(self, watcher: Watcher) -> None:
        """Tell them of each live call, and which there are."""

    def overhear(self) -> None:
        """Whose sound is wanted has changed (:attr:`Watcher.heard`)."""

    def hang_up(self, call_id: str) -> str:
        """End a call; why not, or an empty string."""

    def whisper(self, call_id: str, text: str) -> str:
        """Tell a call's agent something; why not, or an empty string."""


class Watcher(picows.WSListener):
    """Gets events as JSON text messages, sound as binary ones."""

    def __init__(self, door: Watched) -> None:
        super().__init__()
        self._door = door
        self._transport: picows.WSTransport | None = None
        self._followed: frozenset[str] | None = None
        """Whose words are wanted while they are being said; None: everybody's."""
        self.heard: frozenset[str] = frozenset()
        """Whose sound is wanted."""

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        self._door.watch(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == picows.WSMsgType.TEXT:
            self._take(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._transport = None
        self.heard = frozenset()
        self._door.unwatch(self)

    def wants(self, call_id: str, kind: str) -> bool:
        """Whether an event of that kind is to be told. Words that are still being said come many
        times a second and are redacted each time: only where somebody reads them."""
        return kind not in UNDER_WAY or self._followed is None or call_id in self._followed

    def tell(self, message: bytes) -> None:
        """One event. A watcher that does not keep up is disconnected, for it would fill memory."""
        self._send(picows.WSMsgType.TEXT, message)

    def play(self, message: bytes) -> None:
        """A piece of a call's sound."""
        self._send(picows.WSMsgType.BINARY, message)

    def _send(self, kind: picows.WSMsgType, message: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        if transport.underlying_transport.get_write_buffer_size() > WATCH_BUFFER_BYTES:
            transport.disconnect(graceful=False)  # it would wait for what is not read
        else:
            transport.send(kind, message)

    def _take(self, payload: bytes) -> None:
        try:
            message = orjson.loads(payload)
        except orjson.JSONDecodeError:
            message = None
        match message:
            case {"type": "calls"}:
                self._door.name_calls(self)
            case {"type": "follow", "call_ids": [*ids]} if _are_ids(ids):
                self._followed = frozenset(ids)
            case {"type": "listen", "call_ids": [*ids]} if _are_ids(ids):
                self.heard = frozenset(ids)
                self._door.overhear()
            case {"type": "hangup", "id": int(id_), "call_id": str(call_id)}:
                self._done(id_, call_id, self._door.hang_up(call_id))
            case {"type": "whisper", "id": int(id_), "call_id": str(call_id), "text": str(text)}:
                self._done(id_, call_id, self._door.whisper(call_id, text))
            case _:
                log.warning("! a watcher said what cannot be understood")

    def _done(self, id_: int, call_id: str, why: str) -> None:
        answer = {"call_id": call_id, "event": "done", "id": id_, "why": why}
        self.tell(orjson.dumps(answer))


def _are_ids(ids: list[Any]) -> bool:
    return len(ids) <= MOST_NAMED and all(isinstance(one, str) for one in ids)
