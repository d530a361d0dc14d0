"""One websocket to one worker's ``GET /watch``, kept open: events in, what we ask of it out."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
import orjson

from appliance.errors import UserError
from appliance.media import token
from appliance.media.watcher import WATCH_ID
from appliance.ops.sitelook import worker_urls
from appliance.settings import MEDIA_SECRET, Settings

__all__ = ["WorkerLink", "worker_urls"]

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 5.0
"""Between two attempts to reach a worker that is away."""
CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 3.0
HEARTBEAT_S = 10.0
"""A worker that answers no ping in half of it is away."""
RECONCILE_S = 30.0
"""So often it is asked which calls it has: an event that was lost shows no longer than that."""
LARGEST_EVENT_BYTES = 1 << 20
MOST_ASKED = 64
"""Requests that wait for an answer of one worker; the next is refused."""

OnEvent = Callable[[str, dict[str, Any]], None]
OnAudio = Callable[[str, bytes], None]


class WorkerLink:
    """Of one worker. What it tells goes to ``on_event``; ``on_state`` is told when it comes or goes."""

    def __init__(
        self,
        url: str,
        settings: Settings,
        on_event: OnEvent,
        on_audio: OnAudio,
        on_state: Callable[[str, bool], None],
    ) -> None:
        self.url = url
        self._settings = settings
        self._on_event = on_event
        self._on_audio = on_audio
        self._on_state = on_state
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[str]] = {}
        self._followed: tuple[str, ...] = ()
        self._heard: tuple[str, ...] = ()

    @property
    def is_up(self) -> bool:
        return self._socket is not None

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Keep the websocket open until cancelled."""
        wait_s = FIRST_WAIT_S
        while True:
            try:
                if await self._watch(http):
                    wait_s = FIRST_WAIT_S
            except (aiohttp.ClientError, TimeoutError, OSError) as e:
                log.debug("! %s cannot be watched: %s", self.url, e)
            except Exception:  # the border of a job: other workers are watched on
                log.exception("! watching %s broke", self.url)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _watch(self, http: aiohttp.ClientSession) -> bool:
        """From one connection to its end; True when there was one."""
        secret = await asyncio.to_thread(self._settings.secret, MEDIA_SECRET)
        key = token.make(secret, WATCH_ID, time.time())
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            socket = await http.ws_connect(
                f"{self.url}/watch", headers={"Authorization": f"Bearer {key}"},
                heartbeat=HEARTBEAT_S, max_msg_size=LARGEST_EVENT_BYTES,
            )  # fmt: skip
        asking: asyncio.Task[None] | None = None
        try:
            self._socket = socket
            log.info("= watching %s", self.url)
            self._on_state(self.url, True)
            await self._send({"type": "follow", "call_ids": self._followed})
            await self._send({"type": "listen", "call_ids": self._heard})
            asking = asyncio.create_task(self._reconcile())
            await self._read(socket)
        finally:
            self._socket = None
            if asking is not None:
                asking.cancel()
            for future in self._asked.values():
                if not future.done():
                    future.set_result("the worker has gone")
            self._asked.clear()
            await socket.close()
            log.info("= %s is not watched any more", self.url)
            self._on_state(self.url, False)
        return True

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self._on_audio(self.url, message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                try:
                    event = orjson.loads(message.data)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(event, dict):
                    self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        if event.get("event") == "done":
            id_ = event.get("id")
            future = self._asked.pop(id_, None) if isinstance(id_, int) else None
            if future is not None and not future.done():
                future.set_result(str(event.get("why", "")))
        else:
            self._on_event(self.url, event)

    async def _reconcile(self) -> None:
        while True:
            await self._send({"type": "calls"})
            await asyncio.sleep(RECONCILE_S)

    async def follow(self, call_ids: Iterable[str]) -> None:
        """Have the words of these calls, and of no other, while they are still being said."""
        self._followed = tuple(call_ids)
        await self._send({"type": "follow", "call_ids": self._followed})

    async def listen(self, call_ids: Iterable[str]) -> None:
        """Have the sound of these calls, and of no other."""
        self._heard = tuple(call_ids)
        await self._send({"type": "listen", "call_ids": self._heard})

    async def hang_up(self, call_id: str) -> None:
        """End a call. Raises UserError."""
        await self._ask({"type": "hangup", "call_id": call_id})

    async def whisper(self, call_id: str, text: str) -> None:
        """Tell a call's agent something. Raises UserError."""
        await self._ask({"type": "whisper", "call_id": call_id, "text": text})

    async def _ask(self, message: dict[str, Any]) -> None:
        if self._socket is None or len(self._asked) >= MOST_ASKED:
            raise UserError("The worker that has this call does not answer. Try again in a moment.")
        id_ = next(self._ids)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asked[id_] = future
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._send({**message, "id": id_})
                why = await future
        except TimeoutError:
            raise UserError(
                "The worker did not answer in time. Look whether it was done."
            ) from None
        finally:
            self._asked.pop(id_, None)
        if why:
            raise UserError(f"The worker refused: {why}.")

    async def _send(self, message: dict[str, Any]) -> None:
        socket = self._socket
        if socket is None or socket.closed:
            return  # what it should know is sent when it is back
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await socket.send_str(orjson.dumps(message).decode())
        except (ConnectionError, TimeoutError, RuntimeError) as e:
            log.debug("! %s was not told: %s", self.url, e)
