"""The calls in progress, as the workers' ``/watch`` tells of them: one quiet websocket a worker."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from appliance.media import token
from appliance.media.watcher import WATCH_ID
from appliance.ops.top.state import CallLine, Doing

RETRY_S = 2.0
CONNECT_TIMEOUT_S = 2.0
MOST_GAPS = 5
MOST_CALLS = 2000
"""Followed at once; more are counted by their worker all the same."""
LARGEST_EVENT_BYTES = 1 << 20
QUIET = {"type": "follow", "call_ids": []}
"""Nobody's words while they are being said: nobody reads them here, and each costs a redaction."""
NAME = {"type": "calls"}
_DOING = {
    "turn": Doing.THINKING, "audible": Doing.SPEAKING, "turn_over": Doing.LISTENING,
    "yield": Doing.LISTENING, "carry_on": Doing.SPEAKING,
}  # fmt: skip


@dataclass(slots=True)
class _Call:
    facts: dict[str, Any]
    began: datetime
    doing: Doing = Doing.BEGINNING
    turns: int = 0
    held: bool = False
    gaps_ms: deque[int] = field(default_factory=lambda: deque(maxlen=MOST_GAPS))


class Follower:
    """Follows one worker, for ever; :attr:`calls` is what it knows."""

    def __init__(self, url: str, secret: str) -> None:
        """``url``: ws://HOST:PORT; ``secret``: of the media stream."""
        self._url = url
        self._secret = secret
        self._calls: dict[str, _Call] = {}

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Until cancelled. A worker that is away is tried again."""
        while True:
            try:
                await self._follow(http)
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            self._calls.clear()
            await asyncio.sleep(RETRY_S)

    def calls(self, now: datetime | None = None) -> list[CallLine]:
        """Those in progress."""
        now = now or datetime.now(UTC)
        return [
            CallLine(
                call_id=call_id,
                agent=str(call.facts.get("agent", "")),
                direction=str(call.facts.get("direction", "")),
                language=str(call.facts.get("language", "")),
                worker=self._url,
                doing=Doing.HELD if call.held else call.doing,
                seconds=max(0.0, (now - call.began).total_seconds()),
                turns=call.turns,
                gaps_ms=tuple(call.gaps_ms),
            )
            for call_id, call in self._calls.items()
        ]

    def take(self, event: dict[str, Any]) -> None:
        """One event of docs/wires.md §1."""
        call_id, kind = str(event.get("call_id", "")), event.get("event")
        if kind == "calls":
            named = set(event.get("call_ids", ()))
            self._calls = {id_: call for id_, call in self._calls.items() if id_ in named}
        elif kind == "call":
            self._begin(call_id, event)
        elif kind == "end":
            self._calls.pop(call_id, None)
        elif (call := self._calls.get(call_id)) is not None:
            self._change(call, str(kind), event)

    def _begin(self, call_id: str, event: dict[str, Any]) -> None:
        try:
            began = datetime.fromisoformat(str(event.get("started_at")))
        except ValueError:
            began = datetime.now(UTC)
        call = self._calls.get(call_id)
        if call is None and len(self._calls) < MOST_CALLS:
            call = self._calls[call_id] = _Call(event, began)
        if call is not None:
            turns = event.get("turns")
            call.turns = turns if isinstance(turns, int) else call.turns
            call.held = event.get("held") is True

    def _change(self, call: _Call, kind: str, event: dict[str, Any]) -> None:
        call.doing = _DOING.get(kind, call.doing)
        if kind == "turn_over":
            call.turns += 1
        elif kind == "hold":
            call.held = event.get("on") is True
        elif kind == "audible" and isinstance(event.get("gap_ms"), int):
            call.gaps_ms.append(event["gap_ms"])

    async def _follow(self, http: aiohttp.ClientSession) -> None:
        key = token.make(self._secret, WATCH_ID, time.time())
        opening = http.ws_connect(
            self._url + "/watch",
            headers={"Authorization": f"Bearer {key}"},
            max_msg_size=LARGEST_EVENT_BYTES,
            timeout=aiohttp.ClientWSTimeout(ws_close=CONNECT_TIMEOUT_S),
        )
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            socket = await opening
        async with socket:
            await socket.send_str(orjson.dumps(QUIET).decode())
            await socket.send_str(orjson.dumps(NAME).decode())
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    event = orjson.loads(message.data)
                    if isinstance(event, dict):
                        self.take(event)
