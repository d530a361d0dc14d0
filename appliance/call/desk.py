"""The desk that admits calls, knows the live ones, and drains."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import orjson

from appliance.call.admission import Admission
from appliance.call.lobby import Lobby
from appliance.call.services import Services
from appliance.errors import ProtocolError
from appliance.events import Offer
from appliance.media.protocol import read_whisper
from appliance.media.server import Caller, Stream
from appliance.media.watcher import Watcher

log = logging.getLogger(__name__)


class Desk:
    """All calls of one worker; the door of its media server."""

    def __init__(self, max_calls: int, admission: Admission | None = None) -> None:
        """``admission``: where the worker's own limit is found, under ``max_calls``; None: not."""
        self._max_calls = max_calls
        self._admission = admission
        self._services: Services | None = None
        self._calls: dict[str, tuple[Lobby, asyncio.Task[None]]] = {}
        self._watchers: set[Watcher] = set()
        self._draining = False
        self.refused: Counter[str] = Counter()
        """Streams that were refused: starting, draining, duplicate, full."""
        self._empty = asyncio.Event()
        self._empty.set()

    def open(self, services: Services) -> None:
        """Begin to take calls."""
        self._services = services

    def refusal(self, call_id: str, part: int = 0) -> str:
        """Why a call may not come in now, or an empty string. One that is here may come again as
        its next part: its edge has lost the stream, which here may look alive for a while. Then it
        takes its own place. ``part`` 0: not known yet."""
        if self._services is None:
            self.refused["starting"] += 1
            return "the worker is warming up"
        if self._draining:
            self.refused["draining"] += 1
            return "the worker is draining"
        if call_id in self._calls:
            if not 0 < part <= self._calls[call_id][0].offer.part:
                return ""
            self.refused["duplicate"] += 1
            return "this call is here already"
        if len(self._calls) >= self.limit:
            self.refused["full"] += 1
            why = self._admission.why if self._admission else ""
            return f"the worker carries its limit of {self.limit} calls{why and f': {why}'}"
        return ""

    @property
    def limit(self) -> int:
        """Calls that may be carried now."""
        return self._admission.limit if self._admission else self._max_calls

    @property
    def calls(self) -> int:
        """Live calls."""
        return len(self._calls)

    @property
    def is_open(self) -> bool:
        """Whether it takes calls: neither warming up nor draining."""
        return self._services is not None and not self._draining

    @property
    def watchers(self) -> int:
        """Who looks on."""
        return len(self._watchers)

    def admit(self, offer: Offer, stream: Stream) -> Caller:
        """Take a call and let it live in a task of its own; its earlier part, if that is here,
        ends."""
        assert self._services is not None
        old, before = self._calls.get(offer.call_id, (None, None))
        if old is not None:
            old.replace()
        call = Lobby(offer, stream, self._services, before)
        task = asyncio.create_task(call.run(), name=f"call {offer.call_id}")
        self._calls[offer.call_id] = (call, task)
        self._empty.clear()
        task.add_done_callback(lambda task: self._leave(offer.call_id, task))
        return call

    def health(self) -> dict[str, object]:
        """What the edge reads to find the least busy worker."""
        status = "draining" if self._draining else "ok" if self._services else "starting"
        health: dict[str, object] = {
            "status": status,
            "calls": len(self._calls),
            "capacity": self.limit,
        }
        if self._admission and self._admission.why:
            health["why"] = self._admission.why
        return health

    def holds(self, call_id: str) -> bool:
        """Whether this call is live here."""
        return call_id in self._calls

    def watch(self, watcher: Watcher) -> None:
        """Tell somebody every event from now on."""
        self._watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """They have gone."""
        self._watchers.discard(watcher)
        self.overhear()

    def name_calls(self, watcher: Watcher) -> None:
        """Tell a watcher who has come of each live call, and which there are."""
        for call_id, (call, _) in self._calls.items():
            if (about := call.about()) is not None:
                watcher.tell(orjson.dumps({"call_id": call_id, **about}))
        named = {"call_id": "", "event": "calls", "call_ids": list(self._calls)}
        watcher.tell(orjson.dumps(named))

    def is_watched(self, call_id: str, kind: str) -> bool:
        """Whether anybody wants that kind of event of the call: else nothing need be made ready."""
        return any(watcher.wants(call_id, kind) for watcher in self._watchers)

    def tell(self, call_id: str, event: dict[str, object]) -> None:
        """Pass an event of a call to whoever looks on."""
        if self._watchers:
            message, kind = orjson.dumps({"call_id": call_id, **event}), str(event.get("event"))
            for watcher in list(self._watchers):
                if watcher.wants(call_id, kind):
                    watcher.tell(message)

    def overhear(self) -> None:
        """Have the calls' sound made ready that somebody wants, and no other's."""
        wanted = frozenset[str]().union(*(watcher.heard for watcher in self._watchers))
        for call_id, (call, _) in self._calls.items():
            call.overhear(self._play if call_id in wanted else None)

    def _play(self, call_id: str, message: bytes) -> None:
        for watcher in list(self._watchers):
            if call_id in watcher.heard:
                watcher.play(message)

    def hang_up(self, call_id: str) -> str:
        """A supervisor ends a call; why not, or an empty string."""
        call, _ = self._calls.get(call_id, (None, None))
        if call is None:
            return "this call is not here"
        log.info("= a supervisor ends the call", extra={"call": call_id})
        call.end("NORMAL_CLEARING")
        return ""

    def whisper(self, call_id: str, text: str) -> str:
        """A supervisor tells a call's agent something; why not, or an empty string."""
        call, _ = self._calls.get(call_id, (None, None))
        if call is None:
            return "this call is not here"
        try:
            return call.take_whisper(read_whisper(text))
        except ProtocolError as e:
            return str(e)

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, let the live ones finish; after ``timeout_s`` end what is left."""
        self._draining = True
        if self._calls:
            log.info("= draining: %d calls finish", len(self._calls))
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            log.warning("! draining took too long: %d calls are ended", len(self._calls))
            tasks = [task for _, task in self._calls.values()]
            for call, _ in list(self._calls.values()):
                call.end()
            await asyncio.wait(tasks)

    def _leave(self, call_id: str, task: asyncio.Task[None]) -> None:
        entry = self._calls.get(call_id)
        if entry is None or entry[1] is not task:
            return  # its next part has taken its place
        del self._calls[call_id]
        if not self._calls:
            self._empty.set()
