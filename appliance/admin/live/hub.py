"""The calls in progress, for every page and API client of the console: one websocket to each worker.

Twenty people who look on cost the workers what one does: the hub keeps the state of every call and
shares it out. A worker never waits for the hub, the hub never for a page.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import Actor, NotFoundError
from appliance.admin.live import events, state
from appliance.admin.live.gaps import Gaps, percentile
from appliance.admin.live.site import SiteCache
from appliance.admin.live.state import LiveCall
from appliance.admin.live.subscription import Listener, Subscription
from appliance.admin.live.switch import ask_switch
from appliance.admin.live.tenants import Tenants
from appliance.admin.live.view import LiveCallView, view_of
from appliance.admin.live.workers import WorkerLink
from appliance.errors import UserError
from appliance.ops.sitelook import worker_urls
from appliance.settings import Settings
from appliance.store.calls import read_past

log = logging.getLogger(__name__)

ENDED_SHOWN_S = 10.0
"""A call that is over stays on the page for so long."""
LOST_SHOWN_S = 60.0
"""A call whose worker does not answer; then it is taken for over."""
SWEEP_S = 1.0
SWITCH_S = 1.0
SWITCH_AWAY_S = 5.0
"""Between two questions to an ``ivr switch`` that does not run."""
SETTLE_S = 3.0
"""Until ``ivr switch`` must know of a call that a worker told of."""
MOST_SUBSCRIBERS = 500
MOST_LISTENERS = 50
MOST_CALLS = 5000
"""Kept at once; more than any cluster here carries, so that a broken worker cannot fill memory."""
PAST_TIMEOUT_S = 5.0
MOST_PAST_AT_ONCE = 4
"""Journals read at once for calls that were met in the middle."""


class LiveHub:
    """State of all live calls. :meth:`run` feeds it; without it there are none."""

    def __init__(self, settings: Settings, engine: AsyncEngine) -> None:
        self._settings = settings
        self._engine = engine
        self._calls: dict[str, LiveCall] = {}
        self._links = {
            url: WorkerLink(url, settings, self._on_event, self._on_audio, self._on_worker)
            for url in settings.worker.and_spare(worker_urls(settings))
        }
        self._subscribers: set[Subscription] = set()
        self._listeners: set[Listener] = set()
        self._tenants = Tenants(engine, self._touch_everybody)
        self._gaps = Gaps()
        self._wishes = asyncio.Event()
        """What is followed or listened to has changed."""
        self._past = asyncio.Semaphore(MOST_PAST_AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None
        self.site = SiteCache(settings, engine)
        """The box beneath."""
        self.has_switch = False
        """Whether ``ivr switch`` answered when it was asked last."""

    # --- life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch every worker until cancelled."""
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                work: list[Coroutine[Any, Any, None]] = [
                    self._tenants.run(), self._follow_switch(http), self._sweep(), self._wish(),
                ]  # fmt: skip
                work += [link.run(http) for link in self._links.values()]
                for one in work:
                    tasks.create_task(one)
                await asyncio.Event().wait()
            finally:
                self._tasks = None
                await self.close()

    async def close(self) -> None:
        """Let go of everybody who looks on."""
        for subscriber in list(self._subscribers):
            subscriber.close()
        for listener in list(self._listeners):
            listener.put(None)

    # --- what pages ask ---------------------------------------------------------------------------

    def snapshot(self, actor: Actor) -> tuple[LiveCallView, ...]:
        """Every call that ``actor`` may see, the longest first."""
        found = [view for id_ in self._calls if (view := self.look(id_, actor)) is not None]
        return tuple(sorted(found, key=lambda view: view.started_at or view.state_at))

    def look(self, call_id: str, actor: Actor) -> LiveCallView | None:
        """One call, or None: there is none, or none that ``actor`` may see."""
        call = self._calls.get(call_id)
        if call is None:
            return None
        tenant = self._tenants.of(call.agent_id)
        return view_of(call, tenant) if actor.sees(tenant) else None

    @asynccontextmanager
    async def subscribe(
        self, actor: Actor, call_id: str | None = None
    ) -> AsyncIterator[Subscription]:
        """What changes from now on, of all calls or of one, in which case the words under way are
        told too. Raises UserError when too many look on."""
        if len(self._subscribers) >= MOST_SUBSCRIBERS:
            raise UserError(f"{MOST_SUBSCRIBERS} pages look on already; close some.")
        subscription = Subscription(actor, call_id, self.look, lambda: list(self._calls))
        self._subscribers.add(subscription)
        self._wishes.set()
        try:
            yield subscription
        finally:
            self._subscribers.discard(subscription)
            self._wishes.set()

    @asynccontextmanager
    async def listen(self, actor: Actor, call_id: str) -> AsyncIterator[Listener]:
        """A call's sound from now on. Raises NotFoundError, UserError (too many listen)."""
        view = self.look(call_id, actor)
        if view is None or not view.worker:
            raise NotFoundError("There is no such call with an agent now.")
        if len(self._listeners) >= MOST_LISTENERS:
            raise UserError(f"{MOST_LISTENERS} people listen already; wait until one stops.")
        listener = Listener(call_id)
        self._listeners.add(listener)
        self._wishes.set()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            self._wishes.set()

    def recent_gaps(self, actor: Actor) -> list[int]:
        """Gaps of the last 15 minutes that ``actor`` may know, ms, in order of size."""
        return self._gaps.recent(time.time(), lambda id_: actor.sees(self._tenants.of(id_)))

    def gap_p95(self, actor: Actor) -> int | None:
        """95 % of the last 15 minutes' answers came sooner, ms."""
        return percentile(self.recent_gaps(actor), 0.95)

    def link(self, worker: str) -> WorkerLink | None:
        """The way to a worker, by its URL."""
        return self._links.get(worker)

    def workers(self) -> dict[str, bool]:
        """Each worker's URL, and whether it is watched now; the spare one only while it is there."""
        spare = self._settings.worker.spare_urls()
        return {u: link.is_up for u, link in self._links.items() if link.is_up or u not in spare}

    # --- what workers tell ------------------------------------------------------------------------

    def _on_event(self, worker: str, event: dict[str, Any]) -> None:
        kind, call_id = event.get("event"), event.get("call_id")
        if kind == "calls":
            self._forget_all_but(worker, event.get("call_ids"))
            return
        if not isinstance(call_id, str) or not 0 < len(call_id) <= 64:
            return
        now_s = time.time()
        call = self._calls.get(call_id)
        if kind == "call":
            self._meet(worker, call_id, event, now_s)
        elif call is not None and call.worker == worker:
            after = events.apply(call, event, now_s)
            self._keep(after)
            gap_ms = event.get("gap_ms")
            if kind == "audible" and isinstance(gap_ms, int):
                self._gaps.add(now_s, call.agent_id, gap_ms)
            if not after.worker or after.is_over:
                self._hush(call_id)

    def _meet(self, worker: str, call_id: str, event: dict[str, Any], now_s: float) -> None:
        """A call that begins, or that its worker names because we asked which it has."""
        call = self._calls.get(call_id) or LiveCall(call_id, state_at=now_s)
        is_told = "state" in event
        known = call.worker == worker and not call.is_over and bool(call.agent_id)
        if is_told and known and call.state is not state.CallState.LOST:
            return  # nothing that its own events have not told
        part = event.get("part")
        if call.worker != worker and isinstance(part, int) and part < call.part:
            return  # a worker that has lost it to another
        met = events.apply(call, event, now_s)
        self._keep(state.at_worker(met, worker))
        if (is_told or met.part > 1) and event.get("turns") and self._tasks is not None:
            self._tasks.create_task(self._look_back(call_id))

    def _forget_all_but(self, worker: str, call_ids: object) -> None:
        """The worker has said which calls it has."""
        if not isinstance(call_ids, list):
            return
        now_s, there = time.time(), set(map(str, call_ids))
        for call in list(self._calls.values()):
            if call.worker == worker and call.call_id not in there and not call.is_over:
                self._keep(state.gone(call, now_s))

    def _on_worker(self, worker: str, is_up: bool) -> None:
        now_s = time.time()
        if not is_up:
            for call in list(self._calls.values()):
                if call.worker == worker:
                    self._keep(state.lost(call, now_s))

    def _on_audio(self, worker: str, message: bytes) -> None:
        """One byte for the length of the call's id, the id, then the sound."""
        end = 1 + message[0] if message else 0
        call_id = message[1:end].decode("ascii", "replace")
        for listener in self._listeners:
            if listener.call_id == call_id:
                listener.put(message[end:])

    async def _look_back(self, call_id: str) -> None:
        """What was said before we watched, from the journal."""
        try:
            async with self._past, asyncio.timeout(PAST_TIMEOUT_S):
                found = await read_past(self._engine, call_id)
        except (SQLAlchemyError, OSError, TimeoutError) as e:
            log.debug("! the past of a call cannot be read: %s", e, extra={"call": call_id})
            return
        call = self._calls.get(call_id)
        if call is not None and found is not None:
            self._keep(events.with_past(call, found[1]))

    # --- what ivr switch tells --------------------------------------------------------------------

    async def _follow_switch(self, http: aiohttp.ClientSession) -> None:
        while True:
            began_s = time.time()
            try:
                answer = await ask_switch(self._settings, http, "GET", "/v1/calls")
            except UserError as e:
                log.debug("! %s", e)
                answer = None
            except Exception:  # the border of a job
                log.exception("! ivr switch was not asked")
                answer = None
            self.has_switch = answer is not None
            calls = answer.get("calls") if answer else []
            self._compare(calls if isinstance(calls, list) else [], began_s)
            await asyncio.sleep(SWITCH_S if self.has_switch else SWITCH_AWAY_S)

    def _compare(self, told: list[Any], asked_s: float) -> None:
        """``told`` by ``ivr switch`` when it was asked at ``asked_s``."""
        now_s, there = time.time(), set()
        for facts in told:
            if isinstance(facts, dict) and isinstance(call_id := facts.get("call_id"), str):
                there.add(call_id)
                call = self._calls.get(call_id) or LiveCall(call_id, state_at=now_s)
                if not call.is_over:
                    self._keep(state.of_switch(call, facts, now_s))
        for call in list(self._calls.values()):
            if call.call_id in there or call.is_over or asked_s - call.state_at < SETTLE_S:
                continue
            if not call.worker:  # nobody has it any more
                self._keep(state.gone(call, now_s))
            elif call.switch_state and self.has_switch:
                self._keep(state.of_switch(call, {}, now_s))

    # --- inside -----------------------------------------------------------------------------------

    def _keep(self, call: LiveCall) -> None:
        before = self._calls.get(call.call_id)
        if before is call or before == call:
            return
        if before is None and len(self._calls) >= MOST_CALLS:
            return
        self._calls[call.call_id] = call
        self._touch(call.call_id)

    def _touch(self, call_id: str) -> None:
        for subscriber in self._subscribers:
            subscriber.touch(call_id)

    def _touch_everybody(self) -> None:
        for subscriber in self._subscribers:
            subscriber.touch_all()

    def _hush(self, call_id: str) -> None:
        for listener in self._listeners:
            if listener.call_id == call_id:
                listener.put(None)

    async def _sweep(self) -> None:
        """Take what is over off the pages."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = time.time()
            for call in list(self._calls.values()):
                if call.is_over and now_s - call.ended_at > ENDED_SHOWN_S:
                    del self._calls[call.call_id]
                    self._touch(call.call_id)
                elif call.state is state.CallState.LOST and now_s - call.state_at > LOST_SHOWN_S:
                    self._keep(state.gone(call, now_s, "NETWORK_OUT_OF_ORDER", "system"))

    async def _wish(self) -> None:
        """Tell the workers whose words and whose sound are wanted."""
        followed: list[str] = []
        heard: list[str] = []
        while True:
            await self._wishes.wait()
            self._wishes.clear()
            now_followed = sorted({s.call_id for s in self._subscribers if s.call_id})
            now_heard = sorted({listener.call_id for listener in self._listeners})
            if now_followed != followed:
                followed = now_followed
                await asyncio.gather(*(link.follow(followed) for link in self._links.values()))
            if now_heard != heard:
                heard = now_heard
                await asyncio.gather(*(link.listen(heard) for link in self._links.values()))
