"""One test call: the person's browser or keyboard at one end, a worker at the other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import aiohttp
import orjson

from appliance.access.actor import Actor
from appliance.admin.live.state import CallState
from appliance.admin.tryit.edge import Edge, Trial
from appliance.admin.tryit.progress import Progress
from appliance.admin.tryit.webrtc import BrowserLeg
from appliance.errors import ProtocolError, UserError
from appliance.media import token
from appliance.media.watcher import WATCH_ID

log = logging.getLogger(__name__)

BROWSER_TIMEOUT_S = 15.0
"""From the answer to its sound's way being found (ICE, DTLS)."""
WATCH_TIMEOUT_S = 5.0
HEARTBEAT_S = 10.0
LARGEST_EVENT_BYTES = 1 << 20
KEYS = frozenset("0123456789*#")
NO_SOUND = (
    "Your browser and this machine found no way for sound. UDP between them may be blocked: type"
    " instead, or ask whoever runs the network."
)


class TestCall:
    """From its beginning to its end; then only what happened can be asked."""

    __test__ = False  # no test of pytest's

    def __init__(
        self,
        trial: Trial,
        actor: Actor,
        secret: str,
        http: aiohttp.ClientSession,
        urls: Sequence[str],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.trial = trial
        self.actor = actor
        """Who began it: nobody else may do anything with it."""
        self.began_s = self.seen_s = loop.time()
        self.trouble = ""
        """Why it could not be, or went wrong, in one sentence."""
        self.transfer_to = ""
        """Whom a caller would have been connected to, last."""
        self.is_over = False
        self.over_s = 0.0
        """When it was over, on the loop's clock, as the two above."""
        self.has_sound = False
        """A browser hears it now."""
        self.progress = Progress(trial.call_id)
        self._secret = secret
        self._http = http
        self._urls = urls
        self._edge = Edge(trial, secret, self)
        self._leg: BrowserLeg | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._browser_connected = asyncio.Event()
        self._changed = asyncio.Event()

    # --- life -------------------------------------------------------------------------------------

    async def begin(self, sdp: str | None) -> str:
        """Begin with a browser's offer of sound, or without sound; returns the SDP answer, or an
        empty string.

        With sound the worker is asked once the browser's sound has found its way, so that nothing of
        the greeting is lost. Raises UserError.
        """
        if sdp is None:
            await self._connect()
            return ""
        self._leg = BrowserLeg(self.trial.rate_hz, self._edge.speak, self._on_browser)
        answer = await self._leg.answer(sdp)
        self._spawn(self._connect_with_sound())
        return answer

    async def close(self) -> None:
        """Hang up and let go of everything."""
        self._end()
        self._edge.close()
        if self._leg is not None:
            await self._leg.close()
        for task in list(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()

    async def _connect(self) -> None:
        await self._edge.connect(self._http, self._urls)
        if self._leg is None or not self._leg.has_microphone:
            self._edge.hold(True)  # who types is not asked whether they are still there
        self._spawn(self._watch())

    async def _connect_with_sound(self) -> None:
        try:
            async with asyncio.timeout(BROWSER_TIMEOUT_S):
                await self._browser_connected.wait()
            await self._connect()
        except TimeoutError:
            self._fail(NO_SOUND)
        except UserError as e:
            self._fail(str(e))

    async def _watch(self) -> None:
        """Take in what the worker tells of the call, to its end."""
        key = token.make(self._secret, WATCH_ID, time.time())
        url = self._edge.worker.rstrip("/") + "/watch"
        try:
            async with asyncio.timeout(WATCH_TIMEOUT_S):
                socket = await self._http.ws_connect(
                    url, headers={"Authorization": f"Bearer {key}"},
                    heartbeat=HEARTBEAT_S, max_msg_size=LARGEST_EVENT_BYTES,
                )  # fmt: skip
        except (aiohttp.ClientError, TimeoutError) as e:
            log.warning("! a test call cannot be watched: %s", type(e).__name__)
            self._fail("The worker took the call and then told nothing of it. Look at its log.")
            return
        async with socket:
            ours = [self.trial.call_id]
            await socket.send_bytes(orjson.dumps({"type": "follow", "call_ids": ours}))
            await socket.send_str('{"type":"calls"}')
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._take(orjson.loads(message.data))
                if self.progress.call.is_over:
                    return

    def _take(self, event: Any) -> None:
        if isinstance(event, dict) and event.get("call_id") == self.trial.call_id:
            self.progress.take(event, time.time())
            self._change()
            if self.progress.call.is_over:
                self._end()

    # --- what the person does ---------------------------------------------------------------------

    def type(self, text: str) -> None:
        """A whole turn in writing. Raises UserError."""
        self._require_live()
        try:
            self._edge.type(text)
        except ProtocolError as e:
            raise UserError(f"{str(e)[:1].upper()}{str(e)[1:]}.") from e

    def press(self, digit: str) -> None:
        """A key. Raises UserError."""
        self._require_live()
        if digit not in KEYS or not digit:
            raise UserError("There is no such key: 0 to 9, * and #.")
        self._edge.press(digit)

    def touch(self) -> None:
        """Somebody is there."""
        self.seen_s = asyncio.get_running_loop().time()

    async def change(self, timeout_s: float) -> None:
        """Wait for something to have happened since the last look."""
        changed = self._changed
        try:
            async with asyncio.timeout(timeout_s):
                await changed.wait()
        except TimeoutError:
            pass

    # --- what happens -----------------------------------------------------------------------------

    def on_frame(self, frame: bytes) -> None:
        """20 ms of the agent."""
        if self._leg is not None:
            self._leg.play(frame)

    def on_transfer(self, to: str) -> None:
        """A caller would be connected now."""
        self.transfer_to = to
        self._change()

    def on_ended(self, cause: str) -> None:
        """The worker ended the call."""
        self.progress.end(time.time(), cause)
        self._end()

    def _on_browser(self, state: str) -> None:
        self.has_sound = state == "connected"
        if self.has_sound:
            self._browser_connected.set()
            self._change()
        elif not self.is_over:
            self._end()  # the page, or the machine that it is on, has gone

    # --- inside -----------------------------------------------------------------------------------

    def _require_live(self) -> None:
        if self.is_over:
            raise UserError("This test call is over. Begin another one.")
        if self.progress.call.state is CallState.RINGING:  # the floor takes nothing yet
            raise UserError("The agent has not answered yet. Wait a moment.")

    def _fail(self, why: str) -> None:
        self.trouble = why
        self._end()

    def _end(self) -> None:
        if not self.is_over:
            self.is_over, self.over_s = True, asyncio.get_running_loop().time()
            self.progress.end(time.time())
            self._change()

    def _change(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("! a test call broke", exc_info=error)
            self._fail("Something went wrong on our side; the log has the details.")
